// A test that lacks something here says so: ./check lists these lines at its end.
#pragma once
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <string>

namespace tapir::testing {

inline void skipped(const std::string& reason) {
  std::printf("skipped: %s: %s\n", doctest::getContextOptions()->currentTest->m_name, reason.c_str());
}

inline bool lacks(const std::filesystem::path& path) {
  if (std::filesystem::exists(path)) return false;
  skipped(path.string() + " is not there");
  return true;
}

}  // namespace tapir::testing
