// The emulated build's suite under a schedule:  SCHEDULE=up | down | shuffled:SEED,  and with SCHEDULE_LOG=FILE a line for each
// test: a digest of the turns that its threads took, one of all that the host read from the device, its name. Under every
// schedule the first differ and the second do not (tests/emulator/schedules.sh).
#include <doctest/doctest.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/emulator/emulator.h"

namespace {

void set_schedule(const std::string& name) {
  if (name == "up") return emulator::set_schedule(emulator::Order::ascending);
  if (name == "down") return emulator::set_schedule(emulator::Order::descending);
  const std::string shuffled = "shuffled:";
  char* end = nullptr;
  const uint64_t seed = name.starts_with(shuffled) ? std::strtoull(name.c_str() + shuffled.size(), &end, 10) : 0;
  if (!end || end == name.c_str() + shuffled.size() || *end) {
    std::fprintf(stderr, "SCHEDULE=%s: expected up, down or shuffled:SEED\n", name.c_str());
    std::exit(2);
  }
  emulator::set_schedule(emulator::Order::shuffled, seed);
}

struct ScheduleLog : doctest::IReporter {
  explicit ScheduleLog(const doctest::ContextOptions&) {
    const char* const file = std::getenv("SCHEDULE_LOG");
    if (file && !(log = std::fopen(file, "w"))) std::perror(file), std::exit(2);
  }
  ~ScheduleLog() override {
    if (log) std::fclose(log);
  }

  void test_case_start(const doctest::TestCaseData& test) override {
    name = test.m_name;
    if (const char* const schedule = std::getenv("SCHEDULE")) set_schedule(schedule);
  }
  void test_case_end(const doctest::CurrentTestCaseStats&) override {
    if (log)
      std::fprintf(log, "%016" PRIx64 " %016" PRIx64 " %s\n", emulator::schedule_digest(), emulator::read_digest(), name.c_str());
  }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}

  std::FILE* log = nullptr;
  std::string name;
};

REGISTER_LISTENER("schedule", 1, ScheduleLog);

}  // namespace
