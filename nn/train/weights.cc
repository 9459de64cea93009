#include "nn/train/weights.h"

#include <unordered_map>

#include "nn/train/checkpoint.h"
#include "nn/train/finite.h"
#include "tensor/elementwise.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

std::vector<std::pair<std::string, Tensor>> tensors_of(const nn::Module& model) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  model.each_parameter(
      [&](const std::string& name, const nn::Parameter& parameter) { tensors.emplace_back(name, parameter.value.detach()); });
  model.each_buffer([&](const std::string& name, const nn::Buffer& buffer) { tensors.emplace_back(name, buffer.value); });
  return tensors;
}

}  // namespace

void save_weights(const std::filesystem::path& path, const nn::Module& model) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, value] : tensors_of(model)) {
    require_finite(path.string(), text("'", name, "'"), value);
    tensors.push_back({name, value});
  }
  save_safetensors(path, tensors);
}

void load_weights(const std::filesystem::path& path, nn::Module& model) {
  std::vector<NamedTensor> values = load_safetensors(path).tensors();
  std::vector<NamedTensor> own = tensors_under({.step = 0, .tensors = values, .state = {}}, "model/");
  if (!own.empty()) values = std::move(own);
  for (const NamedTensor& value : values) require_finite(path.string(), text("'", value.name, "'"), value.tensor);
  assign_weights(path.c_str(), model, values);
}

void assign_weights(const char* where, nn::Module& model, const std::vector<NamedTensor>& values) {
  assign(where, tensors_of(model), values);
}

void assign(const char* where, const std::vector<std::pair<std::string, Tensor>>& targets,
            const std::vector<NamedTensor>& values) {
  std::unordered_map<std::string, Tensor> by_name;
  for (const NamedTensor& value : values) by_name[value.name] = value.tensor;
  for (const auto& named : targets) {
    const std::string& name = named.first;
    const Tensor& target = named.second;
    const auto found = by_name.find(name);
    require(found != by_name.end(), where, [&] { return text("there is no '", name, "', which the model needs"); },
            "the file belongs to a model with other options");
    require(found->second.shape() == target.shape(), where,
            [&] { return text("'", name, "' has shape ", found->second.shape(), ", the model needs ", target.shape()); });
  }
  for (const NamedTensor& value : values)
    require(
        targets.size() == by_name.size() ||
            std::any_of(targets.begin(), targets.end(), [&](const auto& t) { return t.first == value.name; }),
        where, [&] { return text("'", value.name, "' is left over: the model has no such tensor"); },
        "the file belongs to a model with other options");
  for (auto [name, target] : targets) copy_(target, by_name.at(name));
}

std::string weights_digest(const nn::Module& model) {
  Sha256 digest;
  for (const auto& [name, value] : tensors_of(model)) {
    const std::string head = text(name, ' ', value.dtype(), value.shape(), '\n');
    digest.update(std::as_bytes(std::span(head)));
    const Tensor dense = value.contiguous().to(Device::cpu);
    with_float("digest", dense.dtype(), [&](auto zero) {
      using T = decltype(zero);
      digest.update(std::as_bytes(std::span(dense.data<T>(), static_cast<size_t>(dense.elements()))));
    });
  }
  return digest.hex();
}

}  // namespace tapir
