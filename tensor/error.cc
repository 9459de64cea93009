#include "tensor/error.h"

#include <mutex>
#include <unordered_set>

namespace tapir {
namespace {

const std::string* intern(std::string path) {
  static std::unordered_set<std::string> paths;   // node-based: addresses are stable
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  return &*paths.insert(std::move(path)).first;
}

const std::string*& current() {
  static const std::string* const root = intern("");
  thread_local const std::string* path = root;
  return path;
}

const char*& running_op() {
  thread_local const char* name = nullptr;
  return name;
}

const char*& called() {
  thread_local const char* name = nullptr;
  return name;
}

std::string compose(std::string_view where, std::string_view rule, std::string_view hint) {
  std::string message = text(where, ": ", rule);
  if (!Scope::path().empty()) message += text(" (in ", Scope::path(), ")");
  if (!hint.empty()) message += text("; hint: ", hint);
  return message;
}

}  // namespace

Scope::Scope(std::string_view name) : before_(current()) {
  current() = intern(before_->empty() ? std::string(name) : text(*before_, '.', name));
}

Scope::Scope(const std::string* path) : before_(current()) { current() = path; }

Scope::~Scope() { current() = before_; }

Scope Scope::replay(const std::string& interned_path) { return Scope(&interned_path); }

const std::string& Scope::path() { return *current(); }

RunningOp::RunningOp(const char* name) : before_(running_op()) { running_op() = name; }

RunningOp::~RunningOp() { running_op() = before_; }

const char* RunningOp::name_or(const char* otherwise) { return running_op() ? running_op() : otherwise; }

Called::Called(const char* name) : before_(called()) {
  if (!before_) called() = name;
}

Called::~Called() { called() = before_; }

std::string_view Called::name_or(std::string_view otherwise) { return called() ? called() : otherwise; }

Error::Error(std::string_view where, std::string_view rule, std::string_view hint)
    : std::runtime_error(compose(where, rule, hint)) {}

}  // namespace tapir
