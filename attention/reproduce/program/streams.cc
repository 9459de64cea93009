#include "attention/reproduce/program/streams.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tensor/error.h"

namespace tapir {

void claim_streams() {
  std::signal(SIGPIPE, SIG_IGN);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})   // the lowest free descriptor is the next to be opened
    if (::fcntl(stream, F_GETFD) < 0) static_cast<void>(::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY));
}

void note(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

void print_json(const nlohmann::ordered_json& document) {
  fmt::print("{}\n", document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

nlohmann::ordered_json json_of(const std::vector<std::pair<std::string, std::string>>& named) {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const auto& [name, shown] : named)
    all[name] = nlohmann::ordered_json::accept(shown) ? nlohmann::ordered_json::parse(shown) : nlohmann::ordered_json(shown);
  return all;
}

void flush_output() {
  errno = 0;
  require(std::fflush(stdout) == 0 && !std::ferror(stdout), "standard output",
          [] { return errno ? std::strerror(errno) : "takes no more"; });
}

}  // namespace tapir
