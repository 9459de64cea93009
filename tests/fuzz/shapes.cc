// Calls of functions that take shapes, axes and extents.
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/targets.h"
#include "tests/tensor/shape_calls.h"

namespace tapir::fuzz {

// Choices of one call.
void shapes(std::string_view bytes) {
  const std::string fault = ShapeCalls(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()).fault();
  expect(fault.empty(), fault.c_str());
}

}  // namespace tapir::fuzz
