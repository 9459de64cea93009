// All tests run in poison mode: memory that nobody wrote is NaN. They take one thread unless they ask for more, because
// ctest runs them side by side. With DEVICE=cuda in the environment tensors are on that device; POISON=off leaves memory as it
// is, for tools that look for reads of it themselves.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tensor/arena.h"
#include "tensor/error.h"
#include "tensor/threads.h"

namespace {

// Says which cases this build or machine leaves out: ./check lists them at its end.
struct SkippedCases : doctest::IReporter {
  explicit SkippedCases(const doctest::ContextOptions&) {}

  void test_case_skipped(const doctest::TestCaseData& test) override {   // filters of the command line come here, too
    if (test.m_skip) std::printf("skipped: %s: not for this build or machine\n", test.m_name);
  }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
};

REGISTER_LISTENER("skipped", 1, SkippedCases);

}  // namespace

int main(int argc, char** argv) try {
  const auto asks = [](const char* name, std::string_view value) {
    const char* const found = std::getenv(name);
    return found && found == value;
  };
  const bool poison = !asks("POISON", "off");
  tapir::Arena::of(tapir::Device::cpu).set_poison(poison);
  tapir::set_threads(1);
  if (asks("DEVICE", "cuda")) {
    tapir::set_default_device(tapir::Device::cuda);
    tapir::Arena::of(tapir::Device::cuda).set_poison(poison);
  }
  return doctest::Context(argc, argv).run();
} catch (const tapir::Error& error) {   // there is no such device
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
