// What is asked of every parser: any bytes give a value, or an Error that names the file and a reason; memory stays below
// 4 × the bytes + 64 MiB; what was read, written and read again is equal.
#pragma once
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/error.h"

namespace tapir::fuzz {

struct Target {
  const char* name;   // of its folder of seeds in tests/fuzz/corpus/
  void (*run)(std::string_view bytes);
};
const std::vector<Target>& targets();

// Aborts where `target` takes more memory than it may. Only sanitized builds count.
void run(const Target& target, std::string_view bytes);

// A broken rule. Nobody catches it: the fuzzer keeps the bytes, a test fails.
struct Finding : std::logic_error {
  using logic_error::logic_error;
};
inline void expect(bool holds, const char* rule) {
  if (!holds) throw Finding(rule);
}

// A folder of this process, in memory. `write` replaces a file of it.
const std::filesystem::path& folder();
std::filesystem::path write(const std::string& name, std::string_view bytes);

// The pieces of `bytes` between zero bytes: `count` of them, the last with all that follows; missing ones are empty.
std::vector<std::string> pieces(std::string_view bytes, size_t count);

// What `read` returns, or nothing where it throws a proper Error. Everything else that it throws is a finding.
template <class Read>
auto value_of(const std::string& file, const Read& read) -> std::optional<decltype(read())> {
  try {
    return read();
  } catch (const OutOfMemory& error) {
    throw Finding(error.what());
  } catch (const Error& error) {
    const std::string_view message = error.what();
    if (!message.starts_with(file)) throw Finding("an error does not name the file: " + std::string(message));
    expect(message.size() > file.size() + 2, "an error says what is wrong");
    return std::nullopt;
  }
}

}  // namespace tapir::fuzz
