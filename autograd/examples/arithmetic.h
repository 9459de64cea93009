// Arithmetic with broadcasting.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"

namespace tapir {

// Rows of an op y = x; one reads memory that is not row-major.
inline OpExamples same_values(const std::string& op, Tensor (*f)(const Tensor&)) {
  const Function call = [f](const std::vector<Tensor>& x) { return f(x[0]); };
  const Function turned = [f](const std::vector<Tensor>& x) { return transpose(f(transpose(x[0]))); };
  const Reference same = [](const Arrays& in) { return in[0]; };
  return {.op = op,
          .rows = {{"rank 2", call, {{{2, 3}}}, same},
                   {"transposed", turned, {{{2, 3}}}, same},
                   {"rank 0", call, {{{}}}, same},
                   {"empty", call, {{{0}}}, same},
                   {"several ranges", call, {{{70000}}}, same}},
          .errors = {},
          .any_type = true};
}

template <> struct Examples<Identity> {
  static OpExamples all() { return same_values("identity", identity); }
};

template <> struct Examples<Contiguous> {
  static OpExamples all() { return same_values("contiguous", contiguous); }
};

template <> struct Examples<Copy> {
  static OpExamples all() { return same_values("copy", copy); }
};

// To f64 and back: where x is f32 both steps convert. (From f64 to f32 and back is a staircase.)
template <> struct Examples<To> {
  static OpExamples all() {
    OpExamples all = same_values("to", [](const Tensor& x) {
      const Tensor wide = to(x, DType::f64);
      return to(wide, x.dtype());
    });
    all.rows[0].label = "there and back";
    all.errors = {{[] { to(requires_grad(zeros({2})), DType::i32); }, {"to", "f64[2]", "i32", "no gradient"}}};
    return all;
  }
};

// Rows of an op of two tensors. `a`, `b`: ranges of the values; a vanishing gradient is accepted for single elements.
inline OpExamples binary(const std::string& name, Tensor (*f)(const Tensor&, const Tensor&),
                         double (*reference)(double, double), Argument a = {}, Argument b = {}, bool chooses = false) {
  const Function call = [f](const std::vector<Tensor>& x) { return f(x[0], x[1]); };
  OpExamples examples{.op = name, .rows = {}, .errors = {}};
  const auto row = [&](const std::string& label, const Shape& shape_a, const Shape& shape_b, bool may_vanish = false) {
    a.shape = shape_a;
    b.shape = shape_b;
    examples.rows.push_back({.label = label, .function = call, .inputs = {a, b}, .reference = pointwise(reference),
                             .may_vanish = may_vanish});
  };
  row("same shape", {2, 3, 5}, {2, 3, 5});
  row("row", {4, 7}, {7});
  row("column", {4, 7}, {4, 1});
  row("outer", {5, 1}, {1, 6});
  row("both", {2, 1, 4}, {3, 1});
  row("number and array", {}, {3, 4}, chooses);
  row("array and number", {5}, {}, chooses);
  row("numbers", {}, {}, chooses);
  row("one element", {1, 1}, {1}, chooses);
  row("rank 4 and 2", {2, 3, 4, 5}, {4, 5});
  row("inner axis", {3, 4, 5}, {3, 1, 5});
  row("empty", {0, 3}, {3});
  row("one meets none", {1}, {0}, true);
  row("several ranges", {300, 256}, {300, 256});
  row("several ranges, row", {300, 256}, {256});
  row("several ranges, column", {300, 1}, {300, 256});
  examples.errors = {{[f] { f(zeros({2, 3}), zeros({2, 4})); }, {name, "do not broadcast", "[2,3]", "[2,4]"}},
                     {[f] { f(zeros({3, 2}), zeros({3})); }, {name, "[3,2]", "[3]"}}};
  return examples;
}

template <> struct Examples<Add> {
  static OpExamples all() { return binary("add", add, [](double a, double b) { return a + b; }); }
};

template <> struct Examples<Sub> {
  static OpExamples all() { return binary("sub", sub, [](double a, double b) { return a - b; }); }
};

template <> struct Examples<Mul> {
  static OpExamples all() {
    OpExamples examples = binary("mul", mul, [](double a, double b) { return a * b; });
    examples.rows.push_back({.label = "with itself",
                             .function = [](const std::vector<Tensor>& x) { return mul(x[0], x[0]); },
                             .inputs = {{{3, 4}}},
                             .reference = pointwise([](double x) { return x * x; })});
    return examples;
  }
};

template <> struct Examples<Div> {
  static OpExamples all() {
    OpExamples examples = binary("div", div, [](double a, double b) { return a / b; }, {}, {{}, 0.5, 2});
    examples.rows.push_back({.label = "by its square",
                             .function = [](const std::vector<Tensor>& x) { return div(x[0], mul(x[0], x[0])); },
                             .inputs = {{{3, 4}, 0.5, 2}}, .reference = pointwise([](double x) { return 1 / x; })});
    return examples;
  }
};

template <> struct Examples<Chain> {
  static OpExamples all() {
    OpExamples examples = binary("chain", chain, [](double g, double slope) { return g * slope; });
    Example zeros = examples.rows.front();
    zeros.label = "cotangents of 0";
    zeros.inputs[0] = {zeros.inputs[0].shape, -1, 1, 1};
    examples.rows.push_back(zeros);
    return examples;
  }
};

template <> struct Examples<Pow> {
  static OpExamples all() {
    OpExamples examples = binary("pow", pow, [](double a, double b) { return std::pow(a, b); }, {{}, 0.5, 2});
    const auto row = [&](const std::string& label, const Argument& a, const Function& f, const Reference& reference) {
      examples.rows.push_back({.label = label, .function = f, .inputs = {a}, .reference = reference});
    };
    row("of itself", {{3, 4}, 0.5, 2}, [](const std::vector<Tensor>& x) { return pow(x[0], x[0]); },
        pointwise([](double x) { return std::pow(x, x); }));
    row("negative numbers and 0, whole exponents", {{4, 4}, -2, 2, 0.5},
        [](const std::vector<Tensor>& x) {
          return pow(x[0], Tensor::from(std::vector<double>{0, 1, 2, 3}).to(x[0].dtype()));
        },
        [](const Arrays& in) {
          return build({4, 4}, [&](const Index& i) { return std::pow(at(in[0], i), static_cast<double>(i[1])); });
        });
    return examples;
  }
};

// The grids of a and b lie 0.25 apart. At a tie central differences give half of each slope, as the op does.
inline OpExamples extremum(const std::string& name, Tensor (*f)(const Tensor&, const Tensor&),
                           double (*reference)(double, double)) {
  OpExamples examples = binary(name, f, reference, {{}, -2, 2, 0.5}, {{}, -2.25, 2.25, 0.5}, true);
  examples.rows.push_back({.label = "ties",
                           .function = [f](const std::vector<Tensor>& x) { return f(x[0], x[1]); },
                           .inputs = {{{4}, 1, 1}, {{3, 4}, 1, 1}},
                           .reference = pointwise(reference),
                           .second_order = false});
  return examples;
}

template <> struct Examples<Maximum> {
  static OpExamples all() { return extremum("maximum", maximum, [](double a, double b) { return a > b ? a : b; }); }
};

template <> struct Examples<Minimum> {
  static OpExamples all() { return extremum("minimum", minimum, [](double a, double b) { return a < b ? a : b; }); }
};

template <> struct Examples<Affine> {
  static OpExamples all() {
    const Function call = [](const std::vector<Tensor>& x) { return affine(x[0], -2.5, 0.75); };
    const Reference reference = pointwise([](double x) { return -2.5 * x + 0.75; });
    return {.op = "affine",
            .rows = {{"rank 2", call, {{{2, 3}}}, reference},
                     {"rank 0", call, {{{}}}, reference},
                     {"empty", call, {{{0, 2}}}, reference},
                     {"several ranges", call, {{{70000}}}, reference}},
            .errors = {}};
  }
};

template <> struct Examples<Where> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& condition, const Shape& a, const Shape& b,
                        bool may_vanish = false) {
      std::vector<uint8_t> chosen;
      for (int64_t i = 0; i < condition.elements(); ++i) chosen.push_back(i % 3 == 0 ? 0 : static_cast<uint8_t>(i % 256 | 1));
      const Tensor c = u8(chosen, condition);
      return Example{.label = label, .function = [c](const std::vector<Tensor>& x) { return where(c, x[0], x[1]); },
                     .inputs = {{a}, {b}}, .reference = [condition](const Arrays& in) {
        Array c{condition, {}};
        for (int64_t i = 0; i < condition.elements(); ++i) c.values.push_back(i % 3 == 0 ? 0 : 1);
        return build(common_shape({c, in[0], in[1]}),
                     [&](const Index& i) { return at(c, i) == 1 ? at(in[0], i) : at(in[1], i); });
      }, .may_vanish = may_vanish};
    };
    // What is not chosen does not matter, not even NaN, and its gradient is exactly 0.
    const Function ignores_nan = [](const std::vector<Tensor>& x) {
      const Tensor nan = Tensor::full({}, std::numeric_limits<double>::quiet_NaN(), x[0].dtype());
      const Tensor choice = u8({1, 0, 1}, {3});
      return where(choice, where(choice, x[0], nan), Tensor::full({}, 5, x[0].dtype()));
    };
    return {.op = "where",
            .rows = {row("same shape", {2, 3}, {2, 3}, {2, 3}), row("condition of a row", {5}, {4, 5}, {4, 5}),
                     row("all broadcast", {3, 1}, {4}, {2, 1, 1}), row("numbers", {3, 4}, {}, {}),
                     row("one element", {}, {}, {}, true), row("empty", {1}, {0}, {}, true),
                     row("several ranges", {256}, {300, 256}, {300, 1}),
                     {"ignores NaN", ignores_nan, {{{3}}}, [](const Arrays& in) {
                       return Array{{3}, {in[0].values[0], 5, in[0].values[2]}};
                     }}},
            .errors = {{[] { where(zeros({2}), zeros({2}), zeros({2})); }, {"where", "condition", "u8", "f64"}},
                       {[] { where(u8({1, 0, 1}, {3}), zeros({2}), zeros({2})); }, {"where", "[3]", "[2]"}}}};
  }
};

}  // namespace tapir
