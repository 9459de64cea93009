// What the functions of ops.h may be given, and what they say of the rest.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tensor/elementwise.h"
#include "tensor/view.h"
#include "tests/attention/attention_helpers.h"
#include "tests/autograd/calls.h"
#include "tests/autograd/evaluate.h"

using namespace tapir;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity(), quiet_nan = std::numeric_limits<double>::quiet_NaN();

struct Parameter {
  std::string type, name;
};
struct Declaration {
  std::string name;
  std::vector<Parameter> parameters;
};

const std::filesystem::path sources = TAPIR_SOURCE_DIR;

// Without comments.
std::string code(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string text;
  for (std::string line; std::getline(in, line);) text += line.substr(0, line.find("//")) + '\n';
  return text;
}

std::vector<std::filesystem::path> files(const std::filesystem::path& folder, const std::string& extension) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == extension) found.push_back(entry.path());
  return found;
}

std::set<std::string> matches(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), pattern), none; match != none; ++match) found.insert((*match)[1]);
  return found;
}

std::vector<Declaration> declarations() {
  std::string header;
  for (const auto& family : files(sources / "autograd/ops", ".h")) header += code(family);
  const std::regex function(R"((?:Tensor|Sorted|BatchNormed) (\w+)\(([^;]*)\);)");
  const std::regex parameter(R"(([\w:<>&\s]+?[&\s])(\w+)(?: = [^,]*)?(?:,|$))");
  const auto none = std::sregex_iterator();
  std::vector<Declaration> all;
  for (auto f = std::sregex_iterator(header.begin(), header.end(), function); f != none; ++f) {
    Declaration declared{(*f)[1], {}};
    const std::string list = (*f)[2];
    for (auto p = std::sregex_iterator(list.begin(), list.end(), parameter); p != none; ++p) {
      const std::string type = std::regex_replace((*p)[1].str(), std::regex(R"(^\s+|\s+$)"), "");
      declared.parameters.push_back({type, (*p)[2]});
    }
    all.push_back(declared);
  }
  return all;
}

// A numeric parameter: values that it takes, values that it refuses, and a call with one.
struct Ranged {
  std::string name, parameter;
  std::vector<double> taken, refused;
  std::function<void(double)> call;
  std::string rule = "";   // what a refusal says, but for the value
};

Ranged in(const Bounds& range, const std::string& name, const std::string& parameter,
          const std::function<void(double)>& call) {
  const double inside_low = std::nextafter(range.low, inf), inside_high = std::nextafter(range.high, -inf);
  Ranged row{name, parameter, {inside_low, inside_high}, {quiet_nan}, call, text(parameter, " must be in ", range, ", got ")};
  (range.with_low ? row.taken : row.refused).push_back(range.low);
  (range.with_high ? row.taken : row.refused).push_back(range.high);
  if (std::isfinite(range.low)) row.refused.insert(row.refused.end(), {std::nextafter(range.low, -inf), -1e300, -inf});
  if (std::isfinite(range.high)) row.refused.insert(row.refused.end(), {std::nextafter(range.high, inf), 1e300, inf});
  return row;
}

constexpr double lowest = -0x1p63, highest = 0x1.fffffffffffffp62;   // of int64_t, the latter as far as double has it

std::vector<Ranged> ranges() {
  const Tensor x = Tensor::full({2, 3}, 0.5, DType::f64), w = Tensor::full({3}, 1, DType::f64);
  const Tensor image = Tensor::full({1, 3, 4, 2}, 0.5, DType::f64), kernel = Tensor::full({3, 3, 1, 2}, 0.5, DType::f64);
  const Tensor sequence = Tensor::full({3, 4, 2}, 0.5, DType::f64);
  const Tensor cells = Tensor::full({1, 2, 2, 4}, 0.5, DType::f64), spectrum = Tensor::full({3, 2}, 0.5, DType::f64);
  const auto count = [](double value) { return static_cast<int64_t>(value); };
  return {
      in(interval::numbers, "affine", "factor", [=](double v) { affine(x, v, 0); }),
      in(interval::numbers, "affine", "shift", [=](double v) { affine(x, 1, v); }),
      in(interval::numbers, "less", "number", [=](double v) { less(x, v); }),
      in(interval::numbers, "less_equal", "number", [=](double v) { less_equal(x, v); }),
      in(interval::numbers, "greater", "number", [=](double v) { greater(x, v); }),
      in(interval::numbers, "greater_equal", "number", [=](double v) { greater_equal(x, v); }),
      in(interval::numbers, "equal", "number", [=](double v) { equal(x, v); }),
      in(interval::numbers, "not_equal", "number", [=](double v) { not_equal(x, v); }),
      in(interval::finite, "leaky_relu", "slope", [=](double v) { leaky_relu(x, v); }),
      in(interval::finite, "elu", "alpha", [=](double v) { elu(x, v); }),
      in(interval::numbers, "clamp", "low", [=](double v) { clamp(x, v, inf); }),
      in(interval::numbers, "clamp", "high", [=](double v) { clamp(x, -inf, v); }),
      in(interval::finite, "pow", "exponent", [=](double v) { pow(x, v); }),
      in(interval::not_negative, "layer_norm", "epsilon", [=](double v) { layer_norm(x, w, w, v); }),
      in(interval::not_negative, "rms_norm", "epsilon", [=](double v) { rms_norm(x, w, v); }),
      in(interval::not_negative, "group_norm", "epsilon", [=](double v) { group_norm(x, 1, w, w, v); }),
      in(interval::not_negative, "batch_norm", "epsilon", [=](double v) { batch_norm(x, w, w, 1, v); }),
      in(interval::not_negative, "batch_norm", "epsilon", [=](double v) { batch_norm(x, w, w, w, w, 1, v); }),
      in({0, 1, true, false}, "dropout", "p", [=](double v) { dropout(x, v, {}); }),
      in(interval::positive, "smooth_l1", "beta", [=](double v) { smooth_l1(x, x, v); }),
      in({0, 1}, "cross_entropy", "label_smoothing",
         [=](double v) { cross_entropy(x, i32({0, 1}, {2}), {.label_smoothing = v}); }),
      {"clamp", "high", {0.5, inf}, {0.4, -inf}, [=](double v) { clamp(x, 0.5, v); }, "the lower bound 0.5 is above"},
      {"var", "correction", {2.5, -1, -1e300}, {3, 1e300}, [=](double v) { var(x, 1, v); }, "of shape [2,3]"},
      {"var", "correction", {}, {quiet_nan, inf, -inf}, [=](double v) { var(x, 1, v); }, "must be in (-inf, inf)"},
      {"norm", "p", {1, 2, inf}, {0, -1, 3, -inf, quiet_nan}, [=](double v) { norm(x, v), norm(x, v, 1); }, "p must be 1, 2"},
      {"slice", "begin", {0, 2}, {-1, 3, lowest, highest}, [=](double v) { slice(x, 1, count(v), 1); }, "[2,3]"},
      {"slice", "length", {0, 3}, {-1, 4, lowest, highest}, [=](double v) { slice(x, 1, 0, count(v)); }, "[2,3]"},
      {"pad", "before", {0, 3}, {-1, lowest, highest}, [=](double v) { pad(x, 1, count(v), 1); }, "[2,3]"},
      {"pad", "after", {0, 3}, {-1, lowest, highest}, [=](double v) { pad(x, 1, 1, count(v)); }, "[2,3]"},
      {"pixel_shuffle", "r", {1, 2}, {-1, 0, 3, lowest, highest}, [=](double v) { pixel_shuffle(cells, count(v)); },
       "[1,2,2,4]"},
      {"pixel_unshuffle", "r", {1, 2}, {-1, 0, 3, lowest, highest}, [=](double v) { pixel_unshuffle(cells, count(v)); },
       "[1,2,2,4]"},
      {"interpolate", "size", {1, 7}, {-1, 0, 0x1p30 + 1, lowest, highest}, [=](double v) { interpolate(x, 1, count(v)); },
       "[2,3]"},
      {"interpolate_adjoint", "size", {1, 7}, {-1, 0, 0x1p30 + 1, lowest, highest},
       [=](double v) { interpolate_adjoint(x, 1, count(v)); }, "[2,3]"},
      {"bilinear", "height", {1, 7}, {-1, 0, 0x1p30 + 1, lowest, highest}, [=](double v) { bilinear(cells, count(v), 2); },
       "[1,2,2,4]"},
      {"bilinear", "width", {1, 7}, {-1, 0, 0x1p30 + 1, lowest, highest}, [=](double v) { bilinear(cells, 2, count(v)); },
       "[1,2,2,4]"},
      {"irfft", "n", {4, 5}, {-1, 0, 3, 6, lowest, highest}, [=](double v) { irfft(spectrum, count(v)); }, "[3,2]"},
      {"scatter_rows", "size", {2, 9}, {-1, 0, 1, lowest, highest},
       [=](double v) { scatter_rows(x, i32({0, 1}, {2}), count(v)); }},
      {"topk", "k", {0, 3}, {-1, 4, lowest, highest}, [=](double v) { topk(x, count(v), 1); }, "[2,3]"},
      {"group_norm", "groups", {1, 3}, {0, 2, -1, lowest, highest}, [=](double v) { group_norm(x, count(v), w, w); }, "[2,3]"},
      {"conv_transpose2d", "added", {0, 2}, {-1, 3, lowest, highest},
       [=](double v) { conv_transpose2d(image, kernel, {.stride = 3}, count(v)); }, "added must be in [0, 2], got "},
      {"conv_transpose1d", "added", {0, 2}, {-1, 3, lowest, highest},
       [=](double v) { conv_transpose1d(sequence, sequence, {.stride = 3}, count(v)); }, "added must be in [0, 2], got "},
      {"conv2d_weight", "rows", {2}, {0, 1, 3, 4, -1, lowest, highest},
       [=](double v) { conv2d_weight(image, Tensor::zeros({1, 2, 3, 2}, DType::f64), count(v), 2); }, "[1,3,4,2]"},
      {"conv2d_weight", "columns", {2}, {0, 1, 3, 5, -1, lowest, highest},
       [=](double v) { conv2d_weight(image, Tensor::zeros({1, 2, 3, 2}, DType::f64), 2, count(v)); }, "[1,3,4,2]"},
      {"unfold", "rows", {1, 3}, {0, 4, -1, lowest, highest}, [=](double v) { unfold(image, count(v), 1); }, "[1,3,4,2]"},
      {"unfold", "columns", {1, 4}, {0, 5, -1, lowest, highest}, [=](double v) { unfold(image, 1, count(v)); }, "[1,3,4,2]"},
      {"max_pool2d", "rows", {1, 3}, {0, 4, -1, lowest, highest},
       [=](double v) { max_pool2d(image, count(v), 1, {}); }, "[1,3,4,2]"},
      {"max_pool2d", "columns", {1, 4}, {0, 5, -1, lowest, highest},
       [=](double v) { max_pool2d(image, 1, count(v), {}); }, "[1,3,4,2]"},
      {"average_pool2d", "rows", {1, 3}, {0, 4, -1, lowest, highest},
       [=](double v) { average_pool2d(image, count(v), 1, {}); }, "[1,3,4,2]"},
      {"average_pool2d", "columns", {1, 4}, {0, 5, -1, lowest, highest},
       [=](double v) { average_pool2d(image, 1, count(v), {}); }, "[1,3,4,2]"},
      {"adaptive_average_pool2d", "height", {1, 3}, {0, 4, -1, lowest, highest},
       [=](double v) { adaptive_average_pool2d(image, count(v), 1); }, "[1,3,4,2]"},
      {"adaptive_average_pool2d", "width", {1, 4}, {0, 5, -1, lowest, highest},
       [=](double v) { adaptive_average_pool2d(image, 1, count(v)); }, "[1,3,4,2]"},
      {"fold", "height", {3}, {0, 2, 4, -1, lowest, highest}, [=](double v) { fold(image, count(v), 4, 1, 1); }, "[1,3,4,2]"},
      {"fold", "width", {4}, {0, 3, 5, -1, lowest, highest}, [=](double v) { fold(image, 3, count(v), 1, 1); }, "[1,3,4,2]"},
      {"fold", "rows", {1}, {0, 2, -1, lowest, highest}, [=](double v) { fold(image, 3, 4, count(v), 1); }, "[1,3,4,2]"},
      {"fold", "columns", {1}, {0, 2, -1, lowest, highest}, [=](double v) { fold(image, 3, 4, 1, count(v)); }, "[1,3,4,2]"},
      {"tril", "k", {lowest, -1, 0, highest}, {}, [=](double v) { tril(x, count(v)); }},
      {"triu", "k", {lowest, -1, 0, highest}, {}, [=](double v) { triu(x, count(v)); }},
  };
}

// The same elements in other memory.
using Layout = Tensor (*)(const Tensor& x);

Tensor last_axis_first(const Tensor& x) {
  return x.rank() < 2 ? x : view::transpose(view::transpose(x, 0, -1).copy(), 0, -1);
}

Tensor every_second(const Tensor& x) {
  Shape larger;
  for (const int64_t extent : x.shape()) larger.push_back(2 * extent + 1);
  const Tensor whole = Tensor::full(larger, 1, x.dtype(), x.device());
  Strides strides = whole.strides();
  int64_t offset = 0;
  for (int axis = 0; axis < x.rank(); ++axis) {
    offset += strides[axis];
    strides[axis] *= 2;
  }
  Tensor part = whole.strided(x.shape(), strides, offset);
  copy_(part, x);
  return part;
}

Tensor first_columns(const Tensor& x) {
  if (x.rank() == 0) return x;
  const Tensor whole = Tensor::full(x.shape().with(-1, x.size(-1) + 2), 1, x.dtype(), x.device());
  Tensor part = view::slice(whole, -1, 0, x.size(-1));
  copy_(part, x);
  return part;
}

Tensor backwards(const Tensor& x) {
  if (x.rank() == 0) return x;
  const Tensor turned = flip(x, -1);
  Strides strides = turned.strides();
  strides[x.rank() - 1] *= -1;
  return turned.strided(x.shape(), strides, x.size(-1) - 1);
}

}  // namespace

TEST_CASE("calls: a view is taken wherever a tensor is, with the same result") {
  std::vector<OpCall> all = calls_of_every_op();
  for (const OpCall& op : calls_of_attention()) all.push_back(op);
  for (const OpCall& op : all) {
    const Tensor dense = op.call(op.tensors);
    for (size_t i = 0; i < op.tensors.size(); ++i) {
      CAPTURE(op.name);
      CAPTURE(i);
      std::vector<Tensor> tensors = op.tensors;
      for (const Layout layout : {last_axis_first, every_second, first_columns, backwards}) {
        tensors[i] = layout(op.tensors[i]);
        CHECK(same_bits(op.call(tensors), dense));
      }
      Shape one = op.tensors[i].shape();
      for (int axis = 0; axis < one.rank(); ++axis) one[axis] = 1;
      tensors[i] = view::expand(op.tensors[i].strided(one, op.tensors[i].strides()).copy(), op.tensors[i].shape());
      const Tensor expanded = op.call(tensors);
      tensors[i] = tensors[i].copy();
      CHECK(same_bits(expanded, op.call(tensors)));
    }
  }
}

TEST_CASE("calls: every mechanism takes a key mask that is a view") {
  const Tensor x = random_normal({2, 4, 8}, 1, "x"), context = random_normal({2, 5, 8}, 1, "context");
  const Tensor keys = u8({1, 1, 0, 1, 0, 1, 0, 1, 1, 1}, {2, 5});
  for (const Mechanism& row : zoo()) {
    const auto mixer = row.make(*row.options(), {.width = 8, .heads = 2});
    mixer->initialise(1, DType::f64);
    const Tensor& queries = needs_of(row, *row.options()).self ? context : x;
    const auto with = [&](const Tensor& present) { return mixer->forward(queries, context, call_with({.keys = present})); };
    CAPTURE(row.name);
    for (const Layout layout : {last_axis_first, every_second, first_columns, backwards})
      CHECK(same_bits(with(layout(keys)), with(keys)));
  }
}

TEST_CASE("calls: the table has every function of ops.h, and its reader every parameter") {
  std::set<std::string> declared, called;
  for (const Declaration& d : declarations()) {
    declared.insert(d.name);
    CAPTURE(d.name);
    CHECK(!d.parameters.empty());
  }
  for (const OpCall& op : calls_of_every_op()) called.insert(op.name);
  CHECK(declared.size() > 70);
  for (const std::string& name : declared) CHECK_MESSAGE(called.contains(name), name << " lacks a call in calls.h");
  for (const std::string& name : called) CHECK_MESSAGE(declared.contains(name), name << " is called, and not declared");
}

TEST_CASE("calls: ops.h includes every family, and the lists of families and of kernels are joined") {
  std::set<std::string> families;
  for (const auto& source : files(sources / "autograd/ops", ".cc")) families.insert(source.stem());
  CHECK(matches(code(sources / "autograd/ops.h"), std::regex("#include \"autograd/ops/(\\w+)\\.h\"")) == families);
  const auto check_joined = [](const char* folder, const char* all_ops) {
    std::string headers;
    for (const auto& header : files(sources / folder, ".h")) headers += code(header);
    const std::set<std::string> lists = matches(headers, std::regex("using (\\w+) = OpList<"));
    CHECK(lists.size() > 4);
    CHECK(matches(code(sources / all_ops), std::regex("(\\w+)\\{\\}")) == lists);
  };
  check_joined("autograd/ops", "autograd/all_ops.h");
  check_joined("attention/kernels", "attention/kernels/all_ops.h");
}

TEST_CASE("calls: no function takes a bare bool, int or double, which C++ would make of one another") {
  const std::set<std::string> allowed{"const Tensor&", "const std::vector<Tensor>&", "const std::vector<int>&", "const Shape&",
                                      "const Mask&", "const RandomKey&", "const CrossEntropyOptions&",
                                      "const ConvolutionOptions&", "const PatchOptions&",
                                      "DType", "Axis", "Flag", "Count", "Number"};
  for (const Declaration& d : declarations())
    for (const Parameter& p : d.parameters) {
      CAPTURE(d.name);
      CAPTURE(p.name);
      CAPTURE(p.type);
      CHECK(allowed.contains(p.type));
    }
}

TEST_CASE("calls: every number has its range, which NaN is not in, and a refusal names the function and tells it") {
  std::set<std::string> ruled;
  for (const Ranged& row : ranges()) {
    ruled.insert(row.name + '.' + row.parameter);
    CAPTURE(row.name);
    CAPTURE(row.parameter);
    for (const double value : row.taken) {
      CAPTURE(value);
      CHECK(message_of([&] { row.call(value); }) == "no error");
    }
    for (const double value : row.refused) {
      CAPTURE(value);
      const std::string message = message_of([&] { row.call(value); });
      CAPTURE(message);
      CHECK(message.find(row.name + ": ") == 0);
      CHECK(contains_text(message, row.rule));
    }
  }
  for (const Declaration& d : declarations())
    for (const Parameter& p : d.parameters)
      if (p.type == "Number" || p.type == "Count")
        CHECK_MESSAGE(ruled.contains(d.name + '.' + p.name), d.name << '.' << p.name);
}

TEST_CASE("calls: an axis that does not exist is told of by the function, with the whole shape") {
  std::set<std::string> along;
  for (const OpCall& op : calls_of_every_op()) {
    if (!op.along) continue;
    along.insert(op.name);
    for (const int axis : {3, -4, 1000, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
      const std::string message = message_of([&] { op.along(axis); });
      CAPTURE(op.name);
      CAPTURE(message);
      CHECK(message.find(op.name + ": ") == 0);
      CHECK(contains_text(message, "[2,3]"));
      CHECK(contains_text(message, text(axis)));
    }
  }
  for (const Declaration& d : declarations())
    for (const Parameter& p : d.parameters)
      if (p.type == "Axis") CHECK_MESSAGE(along.contains(d.name), d.name);
}

TEST_CASE("calls: a tensor without a value, or of another type, shape or rank, is told of by the function with that shape") {
  const std::vector<Shape> shapes{{}, {0}, {7}, {2, 7}, {2, 0}, {7, 3}, {2, 3, 7}, {7, 2, 3}, {1, 1, 2, 7}, {1, 1, 1, 1, 7}};
  for (const OpCall& op : calls_of_every_op()) {
    CAPTURE(op.name);
    CHECK(message_of([&] { op.call(op.tensors); }) == "no error");
    for (size_t i = 0; i < op.tensors.size(); ++i) {
      CAPTURE(i);
      const auto message_with = [&](const Tensor& other) {
        std::vector<Tensor> tensors = op.tensors;
        tensors[i] = other;
        return message_of([&] { op.call(tensors); });
      };
      const std::string nothing = message_with(Tensor());
      if (op.name != "softmax" || i == 0) {   // a mask without keys has all of them
        CAPTURE(nothing);
        CHECK(nothing.find(op.name + ": ") == 0);
        CHECK(contains_text(nothing, "no value"));
      }
      const DType type = op.tensors[i].dtype();
      for (const DType other : {DType::f32, DType::f64, DType::i32, DType::u8}) {
        if (other == type) continue;
        const std::string message = message_with(op.tensors[i].to(other));
        CAPTURE(message);
        CHECK((message == "no error" || (message.find(op.name + ": ") == 0 && contains_text(message, name_of(other)))));
      }
      for (const Shape& shape : shapes) {
        const std::string message = message_with(Tensor::full(shape, 0, type));
        CAPTURE(message);
        CHECK((message == "no error" || (message.find(op.name + ": ") == 0 && contains_text(message, text(shape)))));
      }
    }
  }
}
