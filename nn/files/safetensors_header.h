// The header of a safetensors file: which tensors there are, and where. Format: 8 bytes N (little-endian), N bytes of
// JSON, then the tensors' bytes:
//   {"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …}
// Source: https://github.com/huggingface/safetensors, section "Format".
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace tapir {

struct SafeTensorsHeader {
  struct Entry {
    std::string name;
    DType type = DType::f32;
    Shape shape;
    int64_t begin = 0, end = 0;   // bytes, from the end of the header
  };

  static constexpr int64_t max_bytes = 100'000'000;   // of the JSON; the reference implementation's limit

  std::map<std::string, std::string> metadata;
  std::vector<Entry> entries;   // in the order of the file's header
  std::map<std::string, size_t, std::less<>> index;   // name → position in `entries`
  int64_t data_begin = 0;       // 8 + N
};

// Checks every rule of the format over a whole file's bytes; throws an Error named after `file` at the first that is
// broken: header length within the file and the limit; valid UTF-8 and JSON that starts with '{'; no key twice; metadata
// of strings; per tensor end − begin = elements × element size, without overflow; the tensors tile the data without hole
// or overlap to its very end. Of the element types F32, F64, I32 and U8 are known, of ranks those up to Shape::max_rank.
SafeTensorsHeader parse_safetensors_header(const std::string& file, std::span<const std::byte> bytes);

// The format's name of an element type, such as "F32".
const char* safetensors_name(DType type);

// A name from a file for an error message: quoted, on one line, shortened.
std::string quoted_name(std::string_view name);

}  // namespace tapir
