// Files of a few values: how large they can be, and whole numbers of their JSON.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "tensor/error.h"

namespace tapir {

// Of one byte a parser makes up to 80: what is not read strictly has a limit. Throws Error.
inline constexpr size_t small_file = 1 << 19;
inline void require_small(std::string_view where, size_t bytes, size_t most = small_file) {
  require(bytes <= most, where, [&] { return text("expected at most ", most, " bytes, found ", bytes); });
}

template <class Json>
bool is_integer(const Json& json) {
  return json.is_number_integer() &&
         !(json.is_number_unsigned() && json.template get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()});
}

// The conversion of the JSON library cuts fractions, wraps beyond 2^63 and is undefined for 1e300. Throws an Error named after
// the file, `where`, instead.
template <class Json>
int64_t integer_of(const Json& json, std::string_view where, std::string_view key) {
  require(is_integer(json), where,
          [&] { return text("\"", key, "\" must be a whole number below 2^63, found ", json.dump().substr(0, 40)); });
  return json.template get<int64_t>();
}

}  // namespace tapir
