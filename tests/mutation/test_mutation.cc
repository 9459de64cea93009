// The reader of derivatives: which functions it takes, and which mutants it makes of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>

#include "tests/mutation/mutate.h"

using namespace tapir::mutation;

namespace {

const TensorFunctions functions = {{"add", 2}, {"mul", 2}, {"neg", 1}, {"sum", 1}};

std::string mutated(const std::string& text, std::vector<Mutant>& mutants) {
  const Source source("a.cc", text);
  return mutate(source, derivatives(source), functions, mutants);
}

std::vector<std::string> mutants_of(const std::string& text) {
  std::vector<Mutant> mutants;
  mutated(text, mutants);
  std::vector<std::string> found;
  for (const Mutant& m : mutants) found.push_back(m.original + " → " + m.mutated);
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<std::string> of_backward(const std::string& body) {
  return mutants_of("struct Op { T backward() {" + body + "} };");
}

using Mutants = std::vector<std::string>;

}  // namespace

TEST_CASE("mutation: derivatives are backward, df and composite, what only they call, and functions of dual numbers") {
  const Source source("a.cc", R"(
    namespace tapir {
    namespace {
    // Kernel in a comment of forward
    template <class T> struct Kernel {
      const T* x;
      template <class Team> void operator()(const Team& team, int64_t i) const {}
    };
    struct BackwardKernel { Kernel<T> fields; void operator()(int64_t i) const { deep(i); } };
    int deep(int i) { return i; }
    int both(int i) { return i; }
    }  // namespace
    struct Op final : Base<int, 3> {
      Op(int a) : a_(a), b_{a} {}
      Tensor forward(const Tensor& x) { run(Kernel<T>{x}); both(1); shared(); }
      Gradients backward(const Tensor& g) const { run(BackwardKernel{}); both(1); shared(); own(); }
      Tensor composite() const { return identity(1); }
     private:
      int shared() const { return 1; }
      int own() const { return 1; }
      int a_, b_{};
    };
    Tensor identity(const Tensor& x) { return x; }
    template <class T> Dual<T> operator-(Dual<T> a) { return a; }
    template <class T> Dual<T> declared(Dual<T> a);
    int operator()(int i) { return i; }
    })");
  std::vector<std::string> names;
  for (const Function& function : derivatives(source)) names.push_back(function.label());
  CHECK(names == std::vector<std::string>{"BackwardKernel::operator()", "deep", "Op::backward", "Op::composite", "Op::own",
                                          "operator-"});
}

TEST_CASE("mutation: operators are exchanged, and their operands dropped") {
  CHECK(of_backward("f(a - b * c);") == Mutants{"a - b * c → - b * c", "a - b * c → a", "a - b * c → a + b * c",
                                                "b * c → b", "b * c → b / c", "b * c → c"});
  CHECK(of_backward("f(a / b, c % d);") == Mutants{"a / b → a", "a / b → a * b", "c % d → c / d"});
  CHECK(of_backward("f(-a, !b, *c * *d);") ==
        Mutants{"!b → b", "*c * *d → *c", "*c * *d → *c / *d", "*c * *d → *d", "-a → a"});
  CHECK(of_backward("f(x + x);") == Mutants{"x + x → x", "x + x → x - x"});
  CHECK(of_backward("f(a); f(x - y, x - y);").size() == 6);
  CHECK(of_backward("f(x - y, x - y);")[1] == "x - y → - y #2");
}

TEST_CASE("mutation: comparisons are negated and moved, other conditions negated") {
  CHECK(of_backward("if (a < b && c) f(d == e);") ==
        Mutants{"a < b && c → a < b || c", "a < b → a <= b", "a < b → a >= b", "d == e → d != e"});
  CHECK(of_backward("f(a ? b : c);") == Mutants{"a → !(a)"});
  CHECK(of_backward("if constexpr (order > 0) f(a);") == Mutants{});
  CHECK(of_backward("for (int64_t i = b; i < n; ++i) f(a);") == Mutants{"i < n → i <= n", "i < n → i >= n"});
}

TEST_CASE("mutation: arguments of templates are no comparison, the width of rows and checks are left alone") {
  CHECK(of_backward("for_each_row(d, static_cast<T>(n), m * n, Kernel<T, order + 1>{a.data<T>() + i});") ==
        Mutants{"a.data<T>() + i → a.data<T>()", "a.data<T>() + i → a.data<T>() - i"});
  CHECK(of_backward("require(a == b, name); throw Error(a + b); using U = T; if (at.needs(1)) f(a);") ==
        Mutants{"at.needs(1) → !(at.needs(1))"});
}

TEST_CASE("mutation: functions of tensors are exchanged and replaced by their tensors") {
  CHECK(of_backward("f(mul(neg(a), b));") ==
        Mutants{"mul(neg(a), b) → b", "mul(neg(a), b) → div(neg(a), b)", "mul(neg(a), b) → neg(a)", "neg(a) → a"});
  CHECK(of_backward("f(math::exp(a), team.sum(n, b), view::sum(c), math::select(d, e, g));") ==
        Mutants{"math::exp(a) → a", "math::select(d, e, g) → e", "math::select(d, e, g) → g", "view::sum(c) → c"});
}

TEST_CASE("mutation: constants grow, results are scaled, += and its kin turned round") {
  CHECK(of_backward("f(1, 0.5);") == Mutants{"0.5 → 1.0001 * 0.5", "1 → 2"});
  CHECK(of_backward("return {a, Tensor(), {b}};") == Mutants{"a → 1.0001 (a)"});
  CHECK(of_backward("const T a = b; const T* p = q; int64_t n = m; auto c = [=] { return d; };") ==
        Mutants{"b → 1.0001 (b)", "d → 1.0001 (d)"});
  CHECK(of_backward("y[i] += a; y[i] *= b; y[i] = c;") == Mutants{"a → 1.0001 (a)", "b → 1.0001 (b)", "c → 1.0001 (c)",
                                                                  "y[i] *= b → y[i] /= b", "y[i] += a → y[i] += 0 * a",
                                                                  "y[i] += a → y[i] -= a"});
}

TEST_CASE("mutation: of a mechanism all functions of its own, but not its row, the fields of its options and its claims") {
  const Source source("a.cc", R"(
    namespace tapir {
    namespace {
    Tensor helper(const Tensor& x) { return neg(x); }
    class Own final : public StagedAttention {
      Own(int a) : a_(a) {}
      Tensor scores(const Tensor& Q) const { return helper(Q); }
    };
    Claims claims_of_own() { return {}; }
    }  // namespace
    struct OwnOptions : Options { void fields(Visitor& visit) { visit("a", a); } };
    Mechanism own_row() { return {}; }
    })");
  std::vector<std::string> names;
  for (const Function& function : of_mechanism(source)) names.push_back(function.label());
  CHECK(names == Mutants{"helper", "Own::Own", "Own::scores"});
}

TEST_CASE("mutation: the copy chooses among the mutants, and keeps the rest") {
  std::vector<Mutant> mutants(7);
  const std::string choice =
      "(::tapir::mutation::mutant(7) ? (a - b) : ::tapir::mutation::mutant(8) ? (a) : "
      "::tapir::mutation::mutant(9) ? (b) : (a /* c */ + b))";
  CHECK(mutated("#pragma once\nstruct F { T df() { f(a /* c */ + b); } };  // end\n", mutants) ==
        "#include \"tests/mutation/mutant.h\"\n#pragma once\nstruct F { T df() { f(" + choice + "); } };  // end\n");
  CHECK(mutants.back().key() == "a.cc: F::df: a + b → b");
  const std::string pointer = mutated("struct F { T df() { f(p ? a : b, !p); } };", mutants);
  CHECK(pointer.find("mutant(10) ? (!(p)) : !!(p)) ? a : b") != std::string::npos);
  CHECK(pointer.find("mutant(11) ? (!!p) : (!p))") != std::string::npos);
}

TEST_CASE("mutation: what cannot be read is an error with its line") {
  const auto message = [](const std::string& text) -> std::string {
    try {
      mutants_of(text);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "no error";
  };
  CHECK(message("struct F {\nT df() { f(a b); } };") == "a.cc:2: the reader of mutants stops at 'b'");
  CHECK(message("struct F {\n T df( }") == "a.cc:2: a bracket that nothing opens");
  CHECK(message("\nstruct F {") == "a.cc:2: a bracket stays open");
}

TEST_CASE("mutation: functions of tensors are read from their declarations") {
  const Source header("ops.h",
                      "Tensor add(const Tensor& a, const Tensor& b); Tensor concat(const std::vector<Tensor>& all);"
                      "Tensor sum(const Tensor& x); Tensor sum(const Tensor& x, int axis);");
  CHECK(tensor_functions(header) == TensorFunctions{{"add", 2}, {"concat", 0}, {"sum", 1}});
}
