// Values and gradients of ops against those of PyTorch in float64 (tests/golden/ops.py).
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "autograd/backward.h"
#include "autograd/examples/example.h"
#include "autograd/node.h"
#include "autograd/ops.h"
#include "tests/golden_file.h"

using namespace tapir;
using nlohmann::json;

namespace {

double number(const json& value) {
  return value.is_string() ? std::stod(value.get<std::string>()) : value.get<double>();
}

Shape shape(const json& extents) {
  Shape result;
  for (const int64_t extent : extents) result.push_back(extent);
  return result;
}

Tensor tensor(const json& entry) {
  std::vector<double> values;
  for (const json& value : entry["data"]) values.push_back(number(value));
  return Tensor::from(values, shape(entry["shape"]));
}

// |found − expected| ≤ 10⁻¹² max(1, |expected|); what is not finite must be the same.
void compare(const Tensor& found, const json& entry) {
  const Tensor expected = tensor(entry);
  CHECK(found.shape() == expected.shape());
  const std::vector<double> a = found.detach().to(DType::f64).values<double>(), b = expected.values<double>();
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    if (std::isfinite(b[i])) CHECK(std::fabs(a[i] - b[i]) <= 1e-12 * std::max(1.0, std::fabs(b[i])));
    else CHECK((a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))));
  }
}

using Tensors = std::map<std::string, Tensor>;
using Call = std::function<Tensor(const Tensors& in, const json& options, Tensors& more)>;   // more: beside the output

// The variance of PyTorch's running statistics has n − 1 in its denominator.
Tensor unbiased(const Tensor& variance, const Tensor& x) {
  const double n = static_cast<double>(x.elements() / variance.elements());
  return affine(variance, n / (n - 1), 0);
}

int axis(const json& options) { return options["axis"].get<int>(); }
bool flag(const json& options, const char* name) { return options[name].get<bool>(); }
int64_t count(const json& options, const char* name) { return options[name].get<int64_t>(); }
double real(const json& options, const char* name) { return options[name].get<double>(); }

ConvolutionOptions convolution(const json& o) {
  return {.stride = count(o, "stride"), .padding = count(o, "padding"), .dilation = count(o, "dilation"),
          .groups = count(o, "groups")};
}
PatchOptions patches(const json& o) {
  return {.stride = count(o, "stride"), .padding = count(o, "padding"), .dilation = count(o, "dilation")};
}

// Calls of an op that needs x, or a and b, and nothing else; of one that needs x and options; of a reduction, which is of
// all elements where the options name no axis.
using OfOne = Tensor (*)(const Tensor& x);
using OfTwo = Tensor (*)(const Tensor& a, const Tensor& b);
using OfOptions = Tensor (*)(const Tensor& x, const json& options);

Call of_x(OfOne f) {
  return [f](const Tensors& in, const json&, Tensors&) { return f(in.at("x")); };
}
Call of_a_b(OfTwo f) {
  return [f](const Tensors& in, const json&, Tensors&) { return f(in.at("a"), in.at("b")); };
}
Call with_options(OfOptions f) {
  return [f](const Tensors& in, const json& o, Tensors&) { return f(in.at("x"), o); };
}
Call reduction(OfOne whole, Tensor (*along)(const Tensor& x, Axis axis, Flag keep)) {
  return [=](const Tensors& in, const json& o, Tensors&) {
    return o.contains("axis") ? along(in.at("x"), axis(o), flag(o, "keep")) : whole(in.at("x"));
  };
}

const std::map<std::string, Call>& calls() {
  static const std::map<std::string, Call> all{
      {"neg", of_x(neg)}, {"exp", of_x(exp)}, {"log", of_x(log)}, {"log1p", of_x(log1p)},
      {"expm1", of_x(expm1)}, {"sqrt", of_x(sqrt)}, {"rsqrt", of_x(rsqrt)}, {"abs", of_x(abs)},
      {"square", of_x(square)}, {"reciprocal", of_x(reciprocal)}, {"sin", of_x(sin)}, {"cos", of_x(cos)},
      {"tanh", of_x(tanh)}, {"sigmoid", of_x(sigmoid)}, {"softplus", of_x(softplus)}, {"relu", of_x(relu)},
      {"gelu", of_x(gelu)}, {"gelu_tanh", of_x(gelu_tanh)}, {"silu", of_x(silu)}, {"erf", of_x(erf)},
      {"log_sigmoid", of_x(log_sigmoid)}, {"mish", of_x(mish)}, {"softmax", of_x(softmax)},
      {"log_softmax", of_x(log_softmax)}, {"logsumexp", of_x(logsumexp)},
      {"add", of_a_b(add)}, {"sub", of_a_b(sub)}, {"mul", of_a_b(mul)}, {"div", of_a_b(div)},
      {"power", of_a_b(pow)}, {"maximum", of_a_b(maximum)}, {"minimum", of_a_b(minimum)},
      {"matmul", of_a_b(matmul)},
      {"sum", reduction(sum, sum)}, {"mean", reduction(mean, mean)},
      {"max", reduction(max, max)}, {"min", reduction(min, min)},
      {"leaky_relu", with_options([](const Tensor& x, const json& o) { return leaky_relu(x, real(o, "slope")); })},
      {"elu", with_options([](const Tensor& x, const json& o) { return elu(x, real(o, "alpha")); })},
      {"clamp", with_options([](const Tensor& x, const json& o) { return clamp(x, number(o["low"]), number(o["high"])); })},
      {"pow", with_options([](const Tensor& x, const json& o) { return pow(x, number(o["exponent"])); })},
      {"affine", with_options([](const Tensor& x, const json& o) { return affine(x, real(o, "factor"), real(o, "shift")); })},
      {"var", with_options([](const Tensor& x, const json& o) {
         return o.contains("axis") ? var(x, axis(o), o.value("correction", 1.0), flag(o, "keep")) : var(x);
       })},
      {"norm", with_options([](const Tensor& x, const json& o) {
         const double p = number(o["p"]);
         return o.contains("axis") ? norm(x, p, axis(o), flag(o, "keep")) : norm(x, p);
       })},
      {"sum_to", with_options([](const Tensor& x, const json& o) { return sum_to(x, shape(o["shape"])); })},
      {"cumsum", with_options([](const Tensor& x, const json& o) { return cumsum(x, axis(o), flag(o, "reverse")); })},
      {"logcumsumexp", with_options([](const Tensor& x, const json& o) { return logcumsumexp(x, axis(o)); })},
      {"reshape", with_options([](const Tensor& x, const json& o) { return reshape(x, shape(o["shape"])); })},
      {"expand", with_options([](const Tensor& x, const json& o) { return expand(x, shape(o["shape"])); })},
      {"transpose", with_options([](const Tensor& x, const json& o) {
         return transpose(x, o["a"].get<int>(), o["b"].get<int>());
       })},
      {"slice", with_options([](const Tensor& x, const json& o) {
         return slice(x, axis(o), count(o, "begin"), count(o, "length"));
       })},
      {"pad", with_options([](const Tensor& x, const json& o) {
         return pad(x, axis(o), count(o, "before"), count(o, "after"));
       })},
      {"flip", with_options([](const Tensor& x, const json& o) { return flip(x, axis(o)); })},
      {"permute", with_options([](const Tensor& x, const json& o) { return permute(x, o["axes"].get<std::vector<int>>()); })},
      {"tril", with_options([](const Tensor& x, const json& o) { return tril(x, count(o, "k")); })},
      {"triu", with_options([](const Tensor& x, const json& o) { return triu(x, count(o, "k")); })},
      {"interpolate", with_options([](const Tensor& x, const json& o) {
         return interpolate(x, axis(o), count(o, "size"), flag(o, "align_corners"));
       })},
      {"interpolate_adjoint", with_options([](const Tensor& x, const json& o) {
         return interpolate_adjoint(x, axis(o), count(o, "size"), flag(o, "align_corners"));
       })},
      {"bilinear", with_options([](const Tensor& x, const json& o) {
         return bilinear(x, count(o, "height"), count(o, "width"), flag(o, "align_corners"));
       })},
      {"rfft", of_x(rfft)}, {"irfft", with_options([](const Tensor& x, const json& o) { return irfft(x, count(o, "n")); })},
      {"pixel_shuffle", with_options([](const Tensor& x, const json& o) { return pixel_shuffle(x, count(o, "r")); })},
      {"pixel_unshuffle", with_options([](const Tensor& x, const json& o) { return pixel_unshuffle(x, count(o, "r")); })},
      {"where",
       [](const Tensors& in, const json&, Tensors&) { return where(in.at("condition"), in.at("a"), in.at("b")); }},
      {"linear", [](const Tensors& in, const json&, Tensors&) { return linear(in.at("x"), in.at("weight")); }},
      {"linear, bias",
       [](const Tensors& in, const json&, Tensors&) { return linear(in.at("x"), in.at("weight"), in.at("bias")); }},
      {"conv2d",
       [](const Tensors& in, const json& o, Tensors&) { return conv2d(in.at("x"), in.at("weight"), convolution(o)); }},
      {"conv1d",
       [](const Tensors& in, const json& o, Tensors&) { return conv1d(in.at("x"), in.at("weight"), convolution(o)); }},
      {"conv_transpose2d",
       [](const Tensors& in, const json& o, Tensors&) {
         return conv_transpose2d(in.at("g"), in.at("weight"), convolution(o), count(o, "added"));
       }},
      {"conv_transpose1d",
       [](const Tensors& in, const json& o, Tensors&) {
         return conv_transpose1d(in.at("g"), in.at("weight"), convolution(o), count(o, "added"));
       }},
      {"conv2d_weight",
       [](const Tensors& in, const json& o, Tensors&) {
         return conv2d_weight(in.at("x"), in.at("g"), count(o, "rows"), count(o, "columns"), convolution(o));
       }},
      {"unfold",
       [](const Tensors& in, const json& o, Tensors&) {
         return unfold(in.at("x"), count(o, "rows"), count(o, "columns"), patches(o));
       }},
      {"max_pool2d", with_options([](const Tensor& x, const json& o) {
         return max_pool2d(x, count(o, "rows"), count(o, "columns"), patches(o));
       })},
      {"average_pool2d", with_options([](const Tensor& x, const json& o) {
         return average_pool2d(x, count(o, "rows"), count(o, "columns"), patches(o));
       })},
      {"adaptive_average_pool2d", with_options([](const Tensor& x, const json& o) {
         return adaptive_average_pool2d(x, count(o, "height"), count(o, "width"));
       })},
      {"fold",
       [](const Tensors& in, const json& o, Tensors&) {
         return fold(in.at("windows"), count(o, "height"), count(o, "width"), count(o, "rows"), count(o, "columns"),
                     patches(o));
       }},
      {"linear_recurrence",
       [](const Tensors& in, const json& o, Tensors&) {
         return linear_recurrence(in.at("a"), in.at("b"), axis(o), flag(o, "reverse"));
       }},
      {"softmax, mask",
       [](const Tensors& in, const json& o, Tensors&) {
         return softmax(in.at("x"), {.causal = o["causal"], .offset = o["offset"], .keys = in.at("keys")});
       }},
      {"stack", [](const Tensors& in, const json& o, Tensors&) { return stack({in.at("a"), in.at("b")}, axis(o)); }},
      {"concat", [](const Tensors& in, const json& o, Tensors&) { return concat({in.at("a"), in.at("b")}, axis(o)); }},
      {"embedding", [](const Tensors& in, const json&, Tensors&) { return embedding(in.at("x"), in.at("indices")); }},
      {"scatter_rows",
       [](const Tensors& in, const json& o, Tensors&) { return scatter_rows(in.at("x"), in.at("indices"), count(o, "size")); }},
      {"layer_norm",
       [](const Tensors& in, const json& o, Tensors&) {
         return layer_norm(in.at("x"), in.at("weight"), in.at("bias"), real(o, "epsilon"));
       }},
      {"rms_norm",
       [](const Tensors& in, const json& o, Tensors&) { return rms_norm(in.at("x"), in.at("weight"), real(o, "epsilon")); }},
      {"group_norm",
       [](const Tensors& in, const json& o, Tensors&) {
         return group_norm(in.at("x"), count(o, "groups"), in.at("weight"), in.at("bias"), real(o, "epsilon"));
       }},
      {"batch_norm",
       [](const Tensors& in, const json& o, Tensors& more) {
         const BatchNormed result = batch_norm(in.at("x"), in.at("weight"), in.at("bias"), 1, real(o, "epsilon"));
         more = {{"running_mean", result.mean}, {"running_variance", unbiased(result.variance, in.at("x"))}};
         return result.y;
       }},
      {"batch_norm, inference",
       [](const Tensors& in, const json& o, Tensors&) {
         return batch_norm(in.at("x"), in.at("weight"), in.at("bias"), in.at("mean"), in.at("variance"), 1, real(o, "epsilon"));
       }},
      {"cross_entropy",
       [](const Tensors& in, const json& o, Tensors&) {
         return cross_entropy(in.at("logits"), in.at("targets"),
                              {.ignored = o["ignored"], .label_smoothing = o["label_smoothing"]});
       }},
      {"squared_error",
       [](const Tensors& in, const json&, Tensors&) { return squared_error(in.at("x"), in.at("target")); }},
      {"l1", [](const Tensors& in, const json&, Tensors&) { return l1(in.at("x"), in.at("target")); }},
      {"smooth_l1",
       [](const Tensors& in, const json& o, Tensors&) { return smooth_l1(in.at("x"), in.at("target"), real(o, "beta")); }},
      {"bce_with_logits",
       [](const Tensors& in, const json&, Tensors&) { return bce_with_logits(in.at("x"), in.at("target")); }},
      {"kl_div", [](const Tensors& in, const json&, Tensors&) { return kl_div(in.at("log_q"), in.at("p")); }},
      {"sort",
       [](const Tensors& in, const json& o, Tensors& more) {
         const Sorted result = sort(in.at("x"), axis(o), flag(o, "descending"));
         more = {{"indices", result.indices}};
         return result.values;
       }},
      {"topk",
       [](const Tensors& in, const json& o, Tensors& more) {
         const Sorted result = topk(in.at("x"), count(o, "k"), axis(o));
         more = {{"indices", result.indices}};
         return result.values;
       }},
      {"gather", [](const Tensors& in, const json& o, Tensors&) { return gather(in.at("x"), axis(o), in.at("indices")); }},
      {"scatter_add",
       [](const Tensors& in, const json& o, Tensors&) {
         return scatter_add(in.at("x"), axis(o), in.at("indices"), in.at("source"));
       }},
      {"index_select",
       [](const Tensors& in, const json& o, Tensors&) { return index_select(in.at("x"), axis(o), in.at("indices")); }},
  };
  return all;
}

}  // namespace

TEST_CASE("ops: values and gradients equal PyTorch's in float64") {
  const json golden = golden_file("ops.json");
  std::map<std::string, int> seen;
  std::set<std::string> recorded{"identity", "contiguous", "copy", "to",   // x itself
                                 "chain", "dropout",                       // tapir's own, random
                                 "mix", "pair_hidden", "pair_hidden_tanh", "expressive_weights",   // mechanisms.json, and by
                                 "dot_product_attention", "expressive_attention",           // test_fused_attention.cc
                                 "network_attention", "deep_network_attention",
                                 "twicing_attention", "doubly_normalised_attention",
                                 "rotary"};                                                 // nn.json
  for (const json& one : golden["cases"]) {
    const std::string op = one["op"], options = one["options"].dump();
    CAPTURE(op);
    CAPTURE(options);
    ++seen[op];
    Tensors inputs;
    std::vector<std::string> names;
    std::vector<Tensor> leaves;
    for (const auto& [name, entry] : one["inputs"].items()) {
      Tensor& value = inputs[name] = tensor(entry);
      if (name == "indices" || name == "targets") value = value.to(DType::i32);
      if (name == "condition" || name == "keys") value = value.to(DType::u8);
      if (!one["gradients"].contains(name)) continue;
      value = requires_grad(value);
      names.push_back(name);
      leaves.push_back(value);
    }
    Tensors more;
    const Tensor y = calls().at(op)(inputs, one["options"], more);
    recorded.insert(y.node->name);
    compare(y, one["output"]);
    CHECK(more.size() == one["more"].size());
    for (const auto& [name, entry] : one["more"].items()) compare(more.at(name), entry);
    const std::vector<Tensor> gradients = grad({y}, leaves, {tensor(one["upstream"])});
    for (size_t i = 0; i < names.size(); ++i) compare(gradients[i], one["gradients"][names[i]]);
  }
  for (const auto& known : calls()) CHECK_MESSAGE(seen[known.first] > 0, known.first);
  for (const OpExamples& op : examples_of_every_op())
    CHECK_MESSAGE(recorded.contains(op.op), op.op << " lacks cases in tests/golden/ops.json, which ops.py writes");
}
