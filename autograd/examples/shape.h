// Ops that move elements.
#pragma once
#include "autograd/examples/example.h"
#include "autograd/ops/shape.h"

namespace tapir {

inline Example moving(const std::string& label, const Shape& from, const Function& function, const Reference& reference) {
  return {.label = label, .function = function, .inputs = {{from}}, .reference = reference};
}

template <> struct Examples<Reshape> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& from, const Shape& wanted, const Shape& to) {
      return moving(label, from, [=](const std::vector<Tensor>& x) { return reshape(x[0], wanted); },
                    [=](const Arrays& in) { return Array{to, in[0].values}; });
    };
    return {.op = "reshape",
            .rows = {row("split", {6, 4}, {2, 3, 4}, {2, 3, 4}), row("merge", {2, 3, 4}, {6, 4}, {6, 4}),
                     row("the rest", {2, 3, 4}, {-1, 8}, {3, 8}), row("to rank 1", {2, 3}, {-1}, {6}),
                     row("to rank 0", {1, 1}, {}, {}), row("from rank 0", {}, {1, 1}, {1, 1}),
                     row("none", {0, 3}, {3, 0}, {3, 0}), row("none, the rest", {0, 3}, {-1, 3}, {0, 3}),
                     row("several ranges", {300, 256}, {256, 300}, {256, 300}),
                     moving("of a transposed view", {4, 6},
                            [](const std::vector<Tensor>& x) { return reshape(transpose(x[0]), {3, 8}); },
                            [](const Arrays& in) {
                              return build({3, 8}, [&](const Index& i) {
                                const int64_t place = i[0] * 8 + i[1];
                                return at(in[0], {place % 4, place / 4});
                              });
                            })},
            .errors = {{[] { reshape(zeros({2, 3}), {4}); }, {"reshape", "[2,3]", "[4]"}},
                       {[] { reshape(zeros({2, 3}), {-1, 4}); }, {"reshape", "[2,3]", "[-1,4]"}},
                       {[] { reshape(zeros({2, 3}), {-1, -1}); }, {"reshape", "[-1,-1]"}},
                       {[] { reshape(zeros({0, 3}), {-1, 0}); }, {"reshape", "[0,3]", "[-1,0]"}},
                       {[] { reshape(zeros({2, 3}), {-2, -3}); }, {"reshape", "[-2,-3]"}}},
            .any_type = true};
  }
};

template <> struct Examples<Transpose> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& from, int a, int b) {
      return moving(
          label, from, [=](const std::vector<Tensor>& x) { return transpose(x[0], a, b); },
          [=](const Arrays& in) {
            const int first = a < 0 ? a + from.rank() : a, second = b < 0 ? b + from.rank() : b;
            return build(from.with(first, from[second]).with(second, from[first]), [&](Index i) {
              std::swap(i[first], i[second]);
              return at(in[0], i);
            });
          });
    };
    const auto permuted = [](const std::string& label, const Shape& from, const std::vector<int>& axes) {
      return moving(
          label, from, [=](const std::vector<Tensor>& x) { return permute(x[0], axes); },
          [=](const Arrays& in) {
            Shape to;
            for (const int axis : axes) to.push_back(from[axis]);
            return build(to, [&](const Index& i) {
              Index source(i.size());
              for (size_t a = 0; a < i.size(); ++a) source[axes[a] < 0 ? axes[a] + i.size() : axes[a]] = i[a];
              return at(in[0], source);
            });
          });
    };
    // pixel_shuffle, and back: channel c r² + i r + j is pixel (i, j) of a square of r × r
    const auto squares = [](const std::string& label, const Shape& from, int64_t r) {
      return moving(
          label, from, [=](const std::vector<Tensor>& x) { return pixel_shuffle(x[0], r); },
          [=](const Arrays& in) {
            return build({from[0], from[1] * r, from[2] * r, from[3] / (r * r)}, [&](const Index& i) {
              return at(in[0], {i[0], i[1] / r, i[2] / r, (i[3] * r + i[1] % r) * r + i[2] % r});
            });
          });
    };
    const auto channels = [](const std::string& label, const Shape& from, int64_t r) {
      return moving(
          label, from, [=](const std::vector<Tensor>& x) { return pixel_unshuffle(x[0], r); },
          [=](const Arrays& in) {
            return build({from[0], from[1] / r, from[2] / r, from[3] * r * r}, [&](const Index& i) {
              return at(in[0], {i[0], i[1] * r + i[3] / r % r, i[2] * r + i[3] % r, i[3] / (r * r)});
            });
          });
    };
    return {.op = "transpose",
            .rows = {row("matrix", {3, 4}, -2, -1), row("outer axes", {2, 3, 4}, 0, 2), row("first two", {2, 3, 4}, 1, 0),
                     row("heads", {2, 5, 3, 4}, 1, 2), row("an axis with itself", {3}, 0, -1),
                     row("one element", {1, 1}, 0, 1), row("none", {0, 3}, 0, 1), row("several ranges", {300, 256}, 0, 1),
                     permuted("permute", {2, 3, 4}, {2, 0, 1}),
                     permuted("permute, four axes", {2, 3, 4, 5}, {3, -3, 0, 2}),
                     squares("pixel_shuffle", {2, 2, 3, 8}, 2), squares("pixel_shuffle, nine channels", {1, 2, 1, 9}, 3),
                     channels("pixel_unshuffle", {2, 4, 6, 2}, 2), channels("pixel_unshuffle, one channel", {1, 3, 6, 1}, 3)},
            .errors = {{[] { transpose(zeros({3})); }, {"transpose", "axis -2", "[3]"}},
                       {[] { transpose(zeros({2, 3}), 0, 2); }, {"transpose", "axis 2", "[2,3]"}},
                       {[] { permute(zeros({2, 3}), {0, 0}); }, {"permute", "(0,0)", "[2,3]"}},
                       {[] { permute(zeros({2, 3}), {0, 2}); }, {"permute", "(0,2)", "[2,3]"}},
                       {[] { permute(zeros({2, 3}), {1}); }, {"permute", "(1)", "[2,3]"}},
                       {[] { permute(Tensor(), {}); }, {"permute", "no value"}},
                       {[] { pixel_shuffle(zeros({1, 2, 2, 6}), 2); }, {"pixel_shuffle", "[1,2,2,6]", "r = 2"}},
                       {[] { pixel_shuffle(zeros({2, 2, 4}), 2); }, {"pixel_shuffle", "(B,H,W,C r²)", "[2,2,4]"}},
                       {[] { pixel_shuffle(zeros({1, 2, 2, 4}), 0); }, {"pixel_shuffle", "[1,2,2,4]", "r = 0"}},
                       {[] { pixel_unshuffle(zeros({1, 4, 3, 1}), 2); }, {"pixel_unshuffle", "[1,4,3,1]", "r = 2"}},
                       {[] { pixel_unshuffle(zeros({4, 2}), 2); }, {"pixel_unshuffle", "(B,H r,W r,C)", "[4,2]"}}},
            .any_type = true};
  }
};

template <> struct Examples<Slice> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& from, int axis, int64_t begin, int64_t length) {
      return moving(
          label, from, [=](const std::vector<Tensor>& x) { return slice(x[0], axis, begin, length); },
          [=](const Arrays& in) {
            const int along = axis < 0 ? axis + from.rank() : axis;
            return build(from.with(along, length), [&](Index i) {
              i[along] += begin;
              return at(in[0], i);
            });
          });
    };
    Example nothing = row("nothing of it", {3, 4}, 0, 2, 0);
    nothing.may_vanish = true;
    return {.op = "slice",
            .rows = {row("first axis", {5, 3}, 0, 1, 3), row("last axis", {5, 3}, -1, 1, 2),
                     row("middle axis", {2, 5, 3}, 1, 4, 1), row("all of it", {4}, 0, 0, 4), nothing,
                     row("of none", {0, 4}, 0, 0, 0), row("one element", {1}, 0, 0, 1),
                     row("several ranges", {300, 256}, 1, 3, 250)},
            .errors = {{[] { slice(zeros({2, 3}), 1, 2, 2); }, {"slice", "begin 2 and length 2", "axis 1", "[2,3]"}},
                       {[] { slice(zeros({2, 3}), 0, -1, 1); }, {"slice", "begin -1 and length 1", "[2,3]"}},
                       {[] { slice(zeros({2, 3}), 0, 1, -1); }, {"slice", "length -1", "[2,3]"}},
                       {[] { slice(zeros({2, 3}), 2, 0, 1); }, {"slice", "axis 2", "[2,3]"}}},
            .any_type = true};
  }
};

template <> struct Examples<Pad> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& from, int axis, int64_t before, int64_t after) {
      return moving(
          label, from, [=](const std::vector<Tensor>& x) { return pad(x[0], axis, before, after); },
          [=](const Arrays& in) {
            const int along = axis < 0 ? axis + from.rank() : axis;
            return build(from.with(along, before + from[along] + after), [&](Index i) {
              i[along] -= before;
              return i[along] < 0 || i[along] >= from[along] ? 0 : at(in[0], i);
            });
          });
    };
    return {
        .op = "pad",
        .rows = {row("first axis", {2, 3}, 0, 1, 2), row("last axis", {2, 3}, -1, 2, 0),
                 row("middle axis", {2, 3, 4}, 1, 0, 1), row("by nothing", {3}, 0, 0, 0), row("one element", {1}, 0, 1, 1),
                 row("around none", {0, 2}, 0, 1, 1), row("several ranges", {300, 256}, 1, 3, 4)},
        .errors = {{[] { pad(zeros({2, 3}), 0, -1, 0); }, {"pad", "-1"}},
                   {[] { pad(zeros({2, 3}), 0, 0, -2); }, {"pad", "-2"}},
                   {[] { pad(zeros({2, 3}), -3, 0, 1); }, {"pad", "axis -3", "[2,3]"}}},
        .any_type = true};
  }
};

template <> struct Examples<Expand> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& from, const Shape& to) {
      return moving(label, from, [=](const std::vector<Tensor>& x) { return expand(x[0], to); },
                    [=](const Arrays& in) { return build(to, [&](const Index& i) { return at(in[0], i); }); });
    };
    Example to_none = row("to none", {1, 3}, {0, 3});
    to_none.may_vanish = true;
    return {.op = "expand",
            .rows = {row("new axis", {3}, {2, 3}), row("column", {3, 1}, {3, 4}), row("inner axis", {2, 1, 4}, {2, 3, 4}),
                     row("number", {}, {2, 3}), row("same shape", {2, 3}, {2, 3}), to_none, row("of none", {0, 1}, {0, 4}),
                     row("several ranges", {300, 1}, {300, 256}), row("from many", {1, 70000}, {2, 70000})},
            .errors = {{[] { expand(zeros({2, 3}), {2, 4}); }, {"expand", "[2,3]", "[2,4]"}},
                       {[] { expand(zeros({2, 3}), {3}); }, {"expand", "[2,3]", "[3]"}},
                       {[] { expand(zeros({1, 3}), {-1, 3}); }, {"expand", "[1,3]", "[-1,3]"}},
                       {[] { expand(zeros({3}), {-1, 3}); }, {"expand", "[3]", "[-1,3]"}}},
            .any_type = true};
  }
};

template <> struct Examples<Concat> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const std::vector<Argument>& parts, int axis) {
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& x) { return concat(x, axis); },
                     .inputs = parts,
                     .reference =
                         [=](const Arrays& in) {
                           const int along = axis < 0 ? axis + in[0].shape.rank() : axis;
                           int64_t total = 0;
                           for (const Array& part : in) total += part.shape[along];
                           return build(in[0].shape.with(along, total), [&](Index i) {
                             size_t part = 0;
                             for (; i[along] >= in[part].shape[along]; ++part) i[along] -= in[part].shape[along];
                             return at(in[part], i);
                           });
                         }};
    };
    const auto layers = [](const std::string& label, const Shape& part, int parts, int axis, int place) {
      Shape to;
      for (int a = 0; a <= part.rank(); ++a) to.push_back(a < place ? part[a] : a == place ? parts : part[a - 1]);
      return Example{.label = label,
                     .function = [=](const std::vector<Tensor>& x) { return stack(x, axis); },
                     .inputs = std::vector<Argument>(parts, Argument{part}),
                     .reference = [=](const Arrays& in) {
                       return build(to, [&](Index i) {
                         const int64_t from = i[place];
                         i.erase(i.begin() + place);
                         return at(in[from], i);
                       });
                     }};
    };
    return {.op = "concat",
            .rows = {row("first axis", {{{2, 3}}, {{1, 3}}}, 0), row("last axis", {{{2, 3}}, {{2, 1}}, {{2, 4}}}, -1),
                     row("middle axis", {{{2, 1, 3}}, {{2, 2, 3}}}, 1), row("one part", {{{2, 3}}}, 0),
                     row("one element", {{{1}}, {{1}}}, 0), row("with none", {{{2, 0}}, {{2, 3}}}, 1),
                     row("none", {{{0, 2}}, {{0, 2}}}, 0), row("several ranges", {{{300, 250}}, {{300, 56}}}, 1),
                     layers("stack", {2, 3}, 3, 0, 0), layers("stack, middle axis", {2, 3}, 2, 1, 1),
                     layers("stack, last axis", {2, 3}, 2, -1, 2), layers("stack of numbers", {}, 3, 0, 0),
                     layers("stack of none", {0, 2}, 2, 1, 1)},
            .errors = {{[] { concat({}, 0); }, {"concat", "at least one"}},
                       {[] { concat({zeros({2, 3}), zeros({3, 3})}, 1); }, {"concat", "[2,3]", "[3,3]", "axis 1"}},
                       {[] { concat({zeros({2, 3}), zeros({2})}, 0); }, {"concat", "[2,3]", "[2]"}},
                       {[] { concat({zeros({2, 3}), zeros({2, 3})}, 2); }, {"concat", "axis 2", "[2,3]"}},
                       {[] { stack({}, 0); }, {"stack", "at least one"}},
                       {[] { stack({zeros({2, 3}), zeros({3, 2})}, 0); }, {"stack", "[2,3]", "[3,2]"}},
                       {[] { stack({zeros({2, 3})}, 3); }, {"stack", "axis 3", "[2,3]"}},
                       {[] { stack({zeros({2, 3})}, -4); }, {"stack", "axis -4", "[2,3]"}}},
            .any_type = true};
  }
};

template <> struct Examples<Flip> {
  static OpExamples all() {
    const auto row = [](const std::string& label, const Shape& from, int axis) {
      return moving(
          label, from, [=](const std::vector<Tensor>& x) { return flip(x[0], axis); },
          [=](const Arrays& in) {
            const int along = axis < 0 ? axis + from.rank() : axis;
            return build(from, [&](Index i) {
              i[along] = from[along] - 1 - i[along];
              return at(in[0], i);
            });
          });
    };
    return {.op = "flip",
            .rows = {row("first axis", {3, 4}, 0), row("last axis", {3, 4}, -1), row("middle axis", {2, 3, 4}, 1),
                     row("one element", {1}, 0), row("none", {0, 3}, 0), row("several ranges", {300, 256}, 0)},
            .errors = {{[] { flip(zeros({2, 3}), 2); }, {"flip", "axis 2", "[2,3]"}},
                       {[] { flip(zeros({}), 0); }, {"flip", "axis 0", "[]"}}},
            .any_type = true};
  }
};

// Rows of tril and triu; kept(j − i, k) tells what stays.
template <class Kept>
OpExamples triangle(const std::string& name, Tensor (*f)(const Tensor&, Count), const Kept& kept) {
  const auto row = [=](const std::string& label, const Shape& from, int64_t k, bool may_vanish = false) {
    Example example = moving(
        label, from, [=](const std::vector<Tensor>& x) { return f(x[0], k); },
        [=](const Arrays& in) {
          return build(from, [&](const Index& i) {
            return kept(i[i.size() - 1] - i[i.size() - 2], k) ? at(in[0], i) : 0;
          });
        });
    example.may_vanish = may_vanish;
    return example;
  };
  return {.op = name,
          .rows = {row("square", {4, 4}, 0), row("wide, above", {3, 6}, 2), row("high, below", {6, 3}, -2),
                   row("batch", {2, 3, 4, 5}, 1), row("far above", {3, 4}, std::numeric_limits<int64_t>::max(), true),
                   row("far below", {3, 4}, std::numeric_limits<int64_t>::min(), true), row("one element", {1, 1}, 0),
                   row("none", {2, 0, 3}, 0), row("no columns", {3, 0}, 0), row("several ranges", {300, 256}, 3)},
          .errors = {{[=] { f(zeros({3}), 0); }, {name, "two axes", "[3]"}}},
          .any_type = true};
}

template <> struct Examples<Tril> {
  static OpExamples all() { return triangle("tril", tril, [](int64_t place, int64_t k) { return place <= k; }); }
};

template <> struct Examples<Triu> {
  static OpExamples all() { return triangle("triu", triu, [](int64_t place, int64_t k) { return place >= k; }); }
};

}  // namespace tapir
