// The scalar-loop reference of MLP-QKV from the parameters of a mixer.
#pragma once
#include "attention/mechanisms/mlp_qkv.h"
#include "tests/attention/attention_helpers.h"
#include "tests/mechanisms/reference_mlp_qkv.h"

namespace tapir {

// The parameters of a mixer, by their names, in the places of the reference; what the mixer lacks is 0.
template <class Visit>
void each_value(reference::MlpQkv& mixer, const Visit& visit) {
  const char* names[] = {"query", "key", "value", "out"};
  for (int i = 0; i < 4; ++i) {
    const std::string name = names[i];
    reference::TokenMap& map = mixer.maps[i];
    visit(name + (map.second.empty() ? ".weight" : ".hidden.weight"), map.first.weight);
    visit(name + ".hidden.bias", map.first.bias);
    for (reference::Layer& layer : map.second) {
      visit(name + ".out.weight", layer.weight);
      visit(name + ".out.bias", layer.bias);
    }
    if (mixer.norm_shared && i > 0) continue;
    visit(mixer.norm_shared ? "norm.weight" : name + ".norm.weight", mixer.norms[i].gain);
    visit(mixer.norm_shared ? "norm.bias" : name + ".norm.bias", mixer.norms[i].bias);
  }
}

inline reference::MlpQkv zeros_of(const MlpQkvOptions& o, int64_t width) {
  reference::MlpQkv mixer;
  mixer.norm_shared = o.norm_shared;
  const bool network[] = {o.q, o.k, o.v, o.o};
  const int64_t hidden = o.hidden_mult * width;
  const auto layer = [](int64_t out, int64_t in) {
    return reference::Layer{"", out, in, false, reference::Values(out * in, 0.0), reference::Values(out, 0.0)};
  };
  for (int i = 0; i < 4; ++i) {
    mixer.maps[i].first = layer(network[i] ? hidden : width, width);
    if (network[i]) mixer.maps[i].second.push_back(layer(width, hidden));
    mixer.maps[i].place = o.norm == "before"  ? reference::NormPlace::before
                          : o.norm == "after" ? reference::NormPlace::after
                                              : reference::NormPlace::none;
    mixer.maps[i].mish = o.activation == "mish";
    mixer.norms[i].gain = mixer.norms[i].bias = reference::Values(hidden, 0.0);
  }
  return mixer;
}

inline reference::MlpQkv mlp_qkv_of(const MlpQkvOptions& options, int64_t width, const Parameters& parameters) {
  reference::MlpQkv mixer = zeros_of(options, width);
  size_t found = 0;
  each_value(mixer, [&](const std::string& name, reference::Values& values) {
    const auto parameter = parameters.find(name);
    if (parameter == parameters.end()) return;
    values = parameter->second->value.values<double>();
    ++found;
  });
  CHECK(found == parameters.size());
  return mixer;
}

}  // namespace tapir
