// The safetensors container: files of the reference implementation, every rule of the format, and random damage.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>

#include "nn/files/safetensors.h"
#include "tensor/sha256.h"
#include "tensor/view.h"
#include "tests/datasets/datasets_helpers.h"

namespace tapir {
namespace {

using testing::error_of;
using testing::TemporaryFolder;

std::filesystem::path golden(const char* name) {
  return std::filesystem::path(TAPIR_SOURCE_DIR) / "tests" / "golden" / "safetensors" / name;
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// A file with this header and that many bytes of data.
std::string file_of(std::string_view json, size_t data_bytes = 0) {
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8).append(json).append(data_bytes, '\x2a');
}

std::string tensor_json(std::string_view name, std::string_view type, std::string_view shape, std::string_view offsets) {
  return text('"', name, R"(":{"dtype":")", type, R"(","shape":)", shape, R"(,"data_offsets":)", offsets, '}');
}

std::string bits_of(const Tensor& tensor) {
  return with_type(tensor.dtype(), [&](auto zero) {
    const auto values = tensor.values<decltype(zero)>();
    return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof zero);
  });
}

}  // namespace

TEST_CASE("files of the reference implementation are read with their exact values") {
  const SafeTensors numpy = load_safetensors(golden("numpy.safetensors"));
  CHECK(numpy.names().size() == 6);
  CHECK(numpy.metadata() ==
        std::map<std::string, std::string>{{"format", "np"}, {"quote \"\\\n", "line\nbreak"}});
  const float infinity = std::numeric_limits<float>::infinity();
  const Tensor matrix = numpy.tensor("matrix");
  CHECK(matrix.shape() == Shape{2, 3});
  CHECK(matrix.values<float>() == std::vector<float>{1.5f, -2.25f, 3e-8f, infinity, -0.0f, 1.0f / 3.0f});
  CHECK(std::signbit(matrix.values<float>()[4]));
  CHECK(numpy.tensor("pi").shape() == Shape{});
  CHECK(numpy.tensor("pi").values<double>() == std::vector<double>{3.141592653589793});
  CHECK(numpy.tensor("ids").values<int32_t>() == std::vector<int32_t>{-2147483647 - 1, 0, 2147483647});
  CHECK(numpy.tensor("flags").shape() == Shape{1, 3});
  CHECK(numpy.tensor("flags").values<uint8_t>() == std::vector<uint8_t>{0, 1, 255});
  CHECK(numpy.tensor("nothing").shape() == Shape{3, 0, 2});
  CHECK(numpy.tensor("grüße/日本").values<float>() == std::vector<float>{42});

  const SafeTensors torch = load_safetensors(golden("torch.safetensors"));
  CHECK(torch.metadata().empty());
  CHECK(torch.tensor("weight").shape() == Shape{2, 3});
  CHECK(torch.tensor("weight").values<double>() == std::vector<double>{0, 1. / 7, 2. / 7, 3. / 7, 4. / 7, 5. / 7});
  CHECK(torch.tensor("bias").values<float>() == std::vector<float>{0.1f, 0.2f});
}

TEST_CASE("what is saved is loaded bit for bit, in the given order, with its metadata") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "all.safetensors";
  const Tensor square = Tensor::from<float>({1, 2, 3, std::nanf(""), 5, 6}, {2, 3});
  const std::vector<NamedTensor> tensors = {{"bytes", Tensor::from<uint8_t>({7, 8, 9})},
                                            {"transposed", view::transpose(square, 0, 1)},
                                            {"scalar", Tensor::full({}, -0.0, DType::f64)},
                                            {"empty", Tensor::zeros({0, 4}, DType::f64)},
                                            {"", Tensor::from<int32_t>({-5}, {1, 1, 1, 1, 1, 1, 1, 1})}};
  const std::map<std::string, std::string> metadata = {{"ключ", "\"\\\n\x01"}, {"", ""}};
  const FileDigest digest = save_safetensors(path, tensors, metadata);
  CHECK(digest.bytes == static_cast<int64_t>(contents(path).size()));
  CHECK(digest.sha256 == sha256_hex(contents(path)));

  const SafeTensors loaded = load_safetensors(path);
  CHECK(loaded.metadata() == metadata);
  CHECK(loaded.names() == std::vector<std::string>{"bytes", "transposed", "scalar", "empty", ""});
  CHECK(loaded.contains("scalar"));
  CHECK_FALSE(loaded.contains("scala"));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor original = tensors[i].tensor, tensor = loaded.tensors()[i].tensor;
    CHECK(tensor.dtype() == original.dtype());
    CHECK(tensor.shape() == original.shape());
    CHECK(bits_of(tensor) == bits_of(original));
  }
  CHECK(std::isnan(loaded.tensor("transposed").values<float>()[1]));
  CHECK(loaded.tensor("transposed").values<float>()[2] == 2);

  const std::string first = contents(path);
  save_safetensors(path, tensors, metadata);
  CHECK(contents(path) == first);

  save_safetensors(path, {});
  CHECK(load_safetensors(path).names().empty());
}

TEST_CASE("each tensor is aligned to its element size in the file") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "mixed.safetensors";
  const Tensor a = Tensor::from<uint8_t>({1}), b = Tensor::from<float>({2}), c = Tensor::from<double>({3});
  save_safetensors(path, {{"a", a}, {"b", b}, {"c", c}});
  const std::string bytes = contents(path);
  const auto header = parse_safetensors_header("mixed", std::as_bytes(std::span(bytes)));
  for (const auto& entry : header.entries) CHECK((header.data_begin + entry.begin) % size_of(entry.type) == 0);
  CHECK(header.entries.front().name == "a");
}

TEST_CASE("a malformed file gets one line that says what is wrong") {
  const TemporaryFolder folder;
  const std::string a = tensor_json("a", "F32", "[2]", "[0,8]"), open = "{", close = "}";
  const std::string too_long = std::string("\x01\xe1\xf5\x05\0\0\0\0", 8);   // 100,000,001
  const struct {
    std::string bytes, message;
  } cases[] = {
      {"", "expected at least 8 bytes of header length, found 0"},
      {"1234567", "expected at least 8 bytes of header length, found 7"},
      {too_long + "{}", "header length at byte 0 is 100000001, more than 100000000: this is not a safetensors file"},
      {std::string(8, '\xff') + "{}", "header length at byte 0 is 18446744073709551615, more than 100000000"},
      {file_of("{}").substr(0, 9), "header of 2 bytes expected at byte 8, but only 1 follow: the file is truncated"},
      {file_of(""), "header must start with '{' at byte 8"},
      {file_of(" {}"), "header must start with '{' at byte 8"},
      {file_of("[]"), "header must start with '{' at byte 8"},
      {file_of("{\xff\xfe\":1}"), "header is not valid JSON at byte 9: "},
      {file_of("{\"\xc3(\":1}"), "header is not valid JSON at byte 11: "},
      {file_of("{\"a"), "header is not valid JSON at byte 11: "},
      {file_of("{} {}"), "header is not valid JSON at byte 11: "},
      {file_of(std::string_view("{}\0x", 4)), "header has a zero byte at byte 10"},
      {file_of(open + a + "," + a + close, 8), "tensor \"a\" occurs twice"},
      {file_of(R"({"__metadata__":{},"__metadata__":{}})"), "\"__metadata__\" occurs twice"},
      {file_of(R"({"__metadata__":{"k":"1","k":"2"}})"), "metadata key \"k\" occurs twice"},
      {file_of(R"({"__metadata__":{"k":1}})"), "metadata key \"k\" must be a string, found the number 1"},
      {file_of(R"({"__metadata__":{"k":{}}})"), "metadata key \"k\" must be a string, found an object"},
      {file_of(R"({"__metadata__":[]})"), "\"__metadata__\" must be an object, found an array"},
      {file_of(R"({"a":null})"), "\"a\" must be an object, found null"},
      {file_of(R"({"a":true})"), "\"a\" must be an object, found a boolean"},
      {file_of(R"({"a":{}})"), "tensor \"a\" has no field dtype"},
      {file_of(R"({"a":{"dtype":"U8","shape":[0]}})"), "tensor \"a\" has no field data_offsets"},
      {file_of(R"({"a":{"dtype":"U8","dtype":"U8"}})"), "tensor \"a\": dtype occurs twice"},
      {file_of(R"({"a":{"stride":[1]}})"), "tensor \"a\" has a field \"stride\"; expected dtype, shape and data_offsets"},
      {file_of(R"({"a":{"dtype":4}})"), "tensor \"a\": dtype must be a string, found the number 4"},
      {file_of(R"({"a":{"dtype":["U8"]}})"), "tensor \"a\": dtype must be a string, found an array"},
      {file_of(R"({"a":{"shape":"2"}})"),
       "tensor \"a\": shape must be an array of non-negative integers, found the string \"2\""},
      {file_of(R"({"a":{"shape":[[2]]}})"),
       "tensor \"a\": shape must be an array of non-negative integers, found an array"},
      {file_of(R"({"a":{"shape":[-2]}})"),
       "tensor \"a\": shape must be an array of non-negative integers, found a negative number"},
      {file_of(R"({"a":{"shape":[2.0]}})"),
       "tensor \"a\": shape must be an array of non-negative integers, found the number 2.0"},
      {file_of(R"({"a":{"shape":[9223372036854775808]}})"),
       "tensor \"a\": shape has 9223372036854775808, more than 2^63 − 1"},
      {file_of(R"({"a":{"shape":[1,1,1,1,1,1,1,1,1]}})"), "tensor \"a\": shape has more than 8 axes"},
      {file_of(R"({"a":{"data_offsets":[0]}})"), "tensor \"a\": data_offsets must be two numbers, found 1"},
      {file_of(R"({"a":{"data_offsets":[0,1,2]}})"), "tensor \"a\": data_offsets must be two numbers, found more"},
      {file_of(open + tensor_json("a", "BF16", "[2]", "[0,4]") + close, 4),
       "tensor \"a\" has element type \"BF16\"; supported are F32, F64, I32 and U8"},
      {file_of(open + tensor_json("a", "F32", "[2]", "[0,4]") + close, 4),
       "tensor \"a\": F32[2] takes 8 bytes, but data_offsets are [0,4]"},
      {file_of(open + tensor_json("a", "U8", "[2]", "[4,2]") + close, 4),
       "tensor \"a\": U8[2] takes 2 bytes, but data_offsets are [4,2]"},
      {file_of(open + tensor_json("a", "F64", "[]", "[0,4]") + close, 4),
       "tensor \"a\": F64[] takes 8 bytes, but data_offsets are [0,4]"},
      {file_of(open + tensor_json("a", "F32", "[4294967296,2147483648]", "[0,0]") + close),
       "tensor \"a\": shape [4294967296,2147483648] has more than 2^63 − 1 bytes"},
      {file_of(open + tensor_json("a", "U8", "[0,4294967296,4294967296]", "[0,0]") + close),
       "tensor \"a\": shape [0,4294967296,4294967296] has more than 2^63 − 1 bytes"},
      {file_of(open + a + "," + tensor_json("b", "U8", "[1]", "[9,10]") + close, 10),
       "tensor \"b\" begins at data byte 9, expected 8: there is a hole before it"},
      {file_of(open + a + "," + tensor_json("b", "U8", "[2]", "[7,9]") + close, 9),
       "tensor \"b\" begins at data byte 7, expected 8: it overlaps the tensor before it"},
      {file_of(open + tensor_json("a", "U8", "[0]", "[3,3]") + close), "tensor \"a\" begins at data byte 3, expected 0"},
      {file_of(open + a + close, 7), "the tensors take 8 data bytes, but 7 follow the header: the file is truncated"},
      {file_of(open + a + close, 9), "the tensors take 8 data bytes, but 9 follow the header: the file is longer than"},
      {file_of("{}", 1), "the tensors take 0 data bytes, but 1 follow the header: the file is longer than its tensors"},
  };
  for (const auto& [bytes, message] : cases) {
    const auto path = folder.write("bad.safetensors", bytes);
    const std::string error = error_of([&] { load_safetensors(path); });
    CAPTURE(error);
    CHECK(error.starts_with(path.string() + ": " + message));
    CHECK(error.find('\n') == error.npos);
  }
  const auto bfloat16 = golden("bfloat16.safetensors");
  CHECK(error_of([&] { load_safetensors(bfloat16); }) ==
        bfloat16.string() + ": tensor \"weight\" has element type \"BF16\"; supported are F32, F64, I32 and U8");
}

TEST_CASE("the header may be unusual where the format allows it") {
  const TemporaryFolder folder;
  const auto load = [&](std::string_view bytes) { return load_safetensors(folder.write("odd.safetensors", bytes)); };
  CHECK(load(file_of("{}")).names().empty());
  CHECK(load(file_of("{ \"__metadata__\" : { } }    ")).metadata().empty());
  // Tensors in another order than their data, an empty one between them, a name with escapes.
  const std::string json = text('{', tensor_json("b", "U8", "[2]", "[1,3]"), ',',
                                tensor_json("e", "F64", "[0]", "[1,1]"), ',',
                                tensor_json("\\u00e9\\n", "U8", "[]", "[0,1]"), '}');
  const SafeTensors odd = load(file_of(json, 3));
  CHECK(odd.names() == std::vector<std::string>{"b", "e", "é\n"});
  CHECK(odd.tensor("b").values<uint8_t>() == std::vector<uint8_t>{42, 42});
  CHECK(odd.tensor("e").elements() == 0);
}

TEST_CASE("deeply nested or very long headers are refused at once") {
  const TemporaryFolder folder;
  const auto deep = folder.write("deep", file_of("{\"a\":" + std::string(1'000'000, '[')));
  CHECK(error_of([&] { load_safetensors(deep); }) == deep.string() + ": \"a\" must be an object, found an array");
  const auto name = folder.write("name", file_of("{\"" + std::string(1'000'000, 'x') + "\":1}"));
  CHECK(error_of([&] { load_safetensors(name); }) ==
        name.string() + ": \"" + std::string(80, 'x') + "…\" must be an object, found the number 1");
}

TEST_CASE("files that cannot be opened and tensors that do not exist are named") {
  const TemporaryFolder folder;
  const auto missing = folder.path() / "missing.safetensors";
  CHECK(error_of([&] { load_safetensors(missing); }) == missing.string() + ": opening failed: No such file or directory");
  CHECK(error_of([&] { load_safetensors(folder.path()); }) ==
        folder.path().string() + ": expected a regular file, found a folder or a device");
  const auto path = golden("torch.safetensors");
  CHECK(error_of([&] { load_safetensors(path).tensor("weigth"); }) ==
        path.string() + ": has no tensor \"weigth\" among its 2");
}

TEST_CASE("what cannot be stored is refused before anything is written") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  const Tensor one = Tensor::from<float>({1});
  const auto refused = [&](const std::vector<NamedTensor>& tensors,
                           const std::map<std::string, std::string>& metadata = {}) {
    const std::string error = error_of([&] { save_safetensors(path, tensors, metadata); });
    CHECK(std::filesystem::is_empty(folder.path()));
    return error.substr(std::min(error.size(), path.string().size() + 2));
  };
  CHECK(refused({{"a", one}, {"a", one}}) == "tensor \"a\" is given twice");
  CHECK(refused({{"__metadata__", one}}) == "\"__metadata__\" cannot be a tensor's name");
  CHECK(refused({{"a", Tensor()}}) == "tensor \"a\" has no value");
  CHECK(refused({{"\xff", one}}) == "names of tensors and metadata must be valid UTF-8");
  CHECK(refused({}, {{"a", "\xc3"}}) == "names of tensors and metadata must be valid UTF-8");
}

TEST_CASE("random damage gives an Error or a file that obeys the rules, never a crash") {
  const TemporaryFolder folder;
  const std::string valid = contents(golden("numpy.safetensors"));
  std::mt19937 random(1);
  const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  int refused = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    std::string bytes = valid;
    if (trial % 4 == 0) bytes.resize(below(bytes.size()));
    else if (trial % 4 == 1) bytes.insert(below(bytes.size()), below(9), static_cast<char>(below(256)));
    else
      for (size_t flips = 1 + below(3); flips > 0; --flips) bytes[below(bytes.size())] ^= static_cast<char>(1 + below(255));
    const std::string error = error_of([&] { parse_safetensors_header("damaged", std::as_bytes(std::span(bytes))); });
    CHECK(error.find('\n') == error.npos);
    refused += !error.empty();
    if (!error.empty()) continue;
    int64_t data = 0;
    for (const auto& [name, tensor] : load_safetensors(folder.write("damaged.safetensors", bytes)).tensors())
      data += tensor.elements() * size_of(tensor.dtype());
    uint64_t length;
    std::memcpy(&length, bytes.data(), 8);
    CHECK(data == static_cast<int64_t>(bytes.size() - 8 - length));
  }
  CHECK(refused > 1000);
  CHECK(refused < 2000);   // damage to values alone is not the container's business
}

}  // namespace tapir
