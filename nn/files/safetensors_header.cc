#include "nn/files/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tensor/error.h"

namespace tapir {
namespace {

using Json = nlohmann::json;
using Entry = SafeTensorsHeader::Entry;

static_assert(std::endian::native == std::endian::little, "the format is little-endian, and bytes are copied as they are");

constexpr DType known_types[] = {DType::f32, DType::f64, DType::i32, DType::u8};

// Takes the events of the JSON parser and lets only the format's structure through, so depth and memory stay bounded.
class Reader {
 public:
  Reader(const std::string& file, SafeTensorsHeader& header) : file_(file), header_(header) {}

  bool null() { unexpected("null"); }
  bool boolean(bool) { unexpected("a boolean"); }
  bool number_integer(int64_t) { unexpected("a negative number"); }
  bool number_float(double, const std::string& digits) { unexpected(text("the number ", digits.substr(0, 40))); }
  bool binary(Json::binary_t&) { unexpected("binary data"); }

  bool number_unsigned(uint64_t number) {
    if (place_ != Place::shape && place_ != Place::offsets) unexpected(text("the number ", number));
    if (number > uint64_t{std::numeric_limits<int64_t>::max()})
      fail(text(where(), " has ", number, ", more than 2^63 − 1"));
    numbers_.push_back(static_cast<int64_t>(number));
    if (place_ == Place::shape && numbers_.size() > Shape::max_rank)
      fail(text(where(), " has more than ", Shape::max_rank, " axes"));
    if (place_ == Place::offsets && numbers_.size() > 2) fail(text(where(), " must be two numbers, found more"));
    return true;
  }

  bool string(std::string& value) {
    if (place_ == Place::metadata) {
      if (!header_.metadata.emplace(key_, value).second) fail(text("metadata key ", quoted_name(key_), " occurs twice"));
    } else if (place_ == Place::tensor && field_ == dtype) {
      entry_.type = type_named(value);
    } else {
      unexpected(text("the string ", quoted_name(value)));
    }
    return true;
  }

  bool start_object(size_t) {
    if (place_ == Place::document) {
      place_ = Place::top;
    } else if (place_ == Place::top) {
      place_ = key_ == "__metadata__" ? Place::metadata : Place::tensor;
      seen_ = 0;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool key(std::string& key) {
    if (place_ == Place::tensor) {
      const auto* field = std::find(std::begin(fields), std::end(fields), key);
      if (field == std::end(fields))
        fail(text("tensor ", quoted_name(entry_.name), " has a field ", quoted_name(key),
                  "; expected dtype, shape and data_offsets"));
      field_ = static_cast<Field>(field - fields);
      if (seen_ & (1 << field_)) fail(text(where(), " occurs twice"));
      seen_ |= 1 << field_;
      return true;
    }
    key_ = key;
    if (place_ == Place::metadata) return true;
    if (key == "__metadata__") {
      if (std::exchange(has_metadata_, true)) fail("\"__metadata__\" occurs twice");
    } else {
      entry_ = Entry{.name = key, .shape = {}};
      if (!header_.index.emplace(key, header_.entries.size()).second)
        fail(text("tensor ", quoted_name(key), " occurs twice"));
    }
    return true;
  }

  bool end_object() {
    if (place_ == Place::tensor) {
      for (int field = 0; field < 3; ++field)
        if (!(seen_ & (1 << field))) fail(text("tensor ", quoted_name(entry_.name), " has no field ", fields[field]));
      check_size();
      header_.entries.push_back(entry_);
    }
    place_ = place_ == Place::top ? Place::document : Place::top;
    return true;
  }

  bool start_array(size_t) {
    if (place_ != Place::tensor || field_ == dtype) unexpected("an array");
    place_ = field_ == shape ? Place::shape : Place::offsets;
    numbers_.clear();
    return true;
  }

  bool end_array() {
    if (place_ == Place::shape) {
      for (int64_t extent : numbers_) entry_.shape.push_back(extent);
    } else {
      if (numbers_.size() != 2) fail(text(where(), " must be two numbers, found ", numbers_.size()));
      entry_.begin = numbers_[0];
      entry_.end = numbers_[1];
    }
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception& error) {
    const std::string_view what = error.what();   // "[json…] parse error at line 1, column 9: the reason; last read: …"
    const size_t reason = what.find(": ");
    const std::string_view shortened = what.substr(reason == what.npos ? 0 : reason + 2, 200);
    fail(text("header is not valid JSON at byte ", 8 + position - 1, ": ", shortened));
  }

 private:
  enum class Place { document, top, metadata, tensor, shape, offsets };
  enum Field { dtype, shape, data_offsets };
  static constexpr std::string_view fields[] = {"dtype", "shape", "data_offsets"};

  [[noreturn]] void fail(std::string_view rule) const { throw Error(file_, rule); }

  [[noreturn]] void unexpected(std::string_view found) const {
    fail(text(where(), " must be ", expected(), ", found ", found));
  }

  std::string where() const {
    if (place_ == Place::document) return "the header";
    if (place_ == Place::top) return quoted_name(key_);
    if (place_ == Place::metadata) return text("metadata key ", quoted_name(key_));
    return text("tensor ", quoted_name(entry_.name), ": ", fields[field_]);
  }

  const char* expected() const {
    if (place_ == Place::document || place_ == Place::top) return "an object";
    if (place_ == Place::metadata || (place_ == Place::tensor && field_ == dtype)) return "a string";
    return "an array of non-negative integers";
  }

  DType type_named(const std::string& name) const {
    for (DType type : known_types)
      if (name == safetensors_name(type)) return type;
    fail(text("tensor ", quoted_name(entry_.name), " has element type ", quoted_name(name),
              "; supported are F32, F64, I32 and U8"));
  }

  // end − begin = product of shape × element size. The product skips zeros, so that strides never overflow either.
  void check_size() const {
    int64_t bytes = size_of(entry_.type);
    bool overflow = false;
    for (int64_t extent : entry_.shape) overflow |= __builtin_mul_overflow(bytes, std::max<int64_t>(extent, 1), &bytes);
    if (overflow)
      fail(text("tensor ", quoted_name(entry_.name), ": shape ", entry_.shape, " has more than 2^63 − 1 bytes"));
    if (std::find(entry_.shape.begin(), entry_.shape.end(), 0) != entry_.shape.end()) bytes = 0;
    if (entry_.begin > entry_.end || entry_.end - entry_.begin != bytes)
      fail(text("tensor ", quoted_name(entry_.name), ": ", safetensors_name(entry_.type), entry_.shape, " takes ", bytes,
                " bytes, but data_offsets are [", entry_.begin, ",", entry_.end, "]"));
  }

  const std::string& file_;
  SafeTensorsHeader& header_;
  Place place_ = Place::document;
  std::string key_;
  Field field_ = dtype;
  int seen_ = 0;   // bit per Field of the tensor being read
  bool has_metadata_ = false;
  Entry entry_;
  std::vector<int64_t> numbers_;
};

void check_tiling(const std::string& file, const std::vector<Entry>& entries, int64_t data_bytes) {
  std::vector<size_t> order(entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(entries[a].begin, entries[a].end) < std::pair(entries[b].begin, entries[b].end);
  });
  int64_t covered = 0;
  for (size_t i : order) {
    const Entry& entry = entries[i];
    require(entry.begin == covered, file, [&] {
      return text("tensor ", quoted_name(entry.name), " begins at data byte ", entry.begin, ", expected ", covered, ": ",
                  entry.begin < covered ? "it overlaps the tensor before it" : "there is a hole before it");
    });
    covered = entry.end;
  }
  require(covered == data_bytes, file, [&] {
    return text("the tensors take ", covered, " data bytes, but ", data_bytes, " follow the header: the file is ",
                covered > data_bytes ? "truncated" : "longer than its tensors");
  });
}

}  // namespace

const char* safetensors_name(DType type) {
  constexpr const char* names[] = {"F32", "F64", "I32", "U8"};
  return names[static_cast<int>(type)];
}

std::string quoted_name(std::string_view name) {
  constexpr size_t longest = 80;
  const Json shown = name.size() <= longest ? std::string(name) : text(name.substr(0, longest), "…");
  return shown.dump(-1, ' ', false, Json::error_handler_t::replace);
}

SafeTensorsHeader parse_safetensors_header(const std::string& file, std::span<const std::byte> bytes) {
  require(bytes.size() >= 8, file,
          [&] { return text("expected at least 8 bytes of header length, found ", bytes.size()); });
  uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  require(length <= SafeTensorsHeader::max_bytes, file, [&] {
    return text("header length at byte 0 is ", length, ", more than ", SafeTensorsHeader::max_bytes,
                ": this is not a safetensors file");
  });
  require(length <= bytes.size() - 8, file, [&] {
    return text("header of ", length, " bytes expected at byte 8, but only ", bytes.size() - 8,
                " follow: the file is truncated");
  });
  const std::string_view json(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  require(json.starts_with('{'), file, [] { return "header must start with '{' at byte 8"; });
  // The JSON parser takes a zero byte for the end of its input.
  const size_t zero = json.find('\0');
  require(zero == json.npos, file, [&] { return text("header has a zero byte at byte ", 8 + zero); });

  SafeTensorsHeader header;
  header.data_begin = static_cast<int64_t>(8 + length);
  Reader reader(file, header);
  Json::sax_parse(json.begin(), json.end(), &reader);
  check_tiling(file, header.entries, static_cast<int64_t>(bytes.size()) - header.data_begin);
  return header;
}

}  // namespace tapir
