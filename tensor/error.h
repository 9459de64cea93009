// Errors: one exception type for the whole library, and the module path that it reports.
//
//   matmul: inner sizes differ: [32,128,512] and [256,512] (in decoder.block.3.attention.q); hint: transpose the second
//   └ op    └ rule broken, with every shape                └ Scope::path() at the throw     └ what to do, if obvious
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tapir {

// Text of all arguments, one after the other, as operator<< writes them.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  out.precision(9);
  (out << ... << parts);
  return out.str();
}

// Names the module that runs, for errors, for memory statistics and for the random-number sites of dropout.
// Scopes nest: "block.3" then "attention" gives "block.3.attention". One path per thread.
class Scope {
 public:
  explicit Scope(std::string_view name);   // appends to the path
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  // The path of now, "" outside of any module. Paths are interned: the reference stays valid for the whole program.
  static const std::string& path();

  // A scope with this very path, whatever encloses it: backward reports the module of its forward pass.
  static Scope replay(const std::string& interned_path);

 private:
  explicit Scope(const std::string* path);
  const std::string* before_;
};

// Names the op that runs, for errors of the device that it asks something of. Ops nest, one in another's backward. Per thread.
class RunningOp {
 public:
  explicit RunningOp(const char* name);
  ~RunningOp();
  RunningOp(const RunningOp&) = delete;
  RunningOp& operator=(const RunningOp&) = delete;

  static const char* name_or(const char* otherwise);   // of the innermost; `otherwise` outside of any

 private:
  const char* before_;
};

// Names the function that a user called, where it is made of others: what they refuse is told in its name. The outermost
// counts. Per thread.
class Called {
 public:
  explicit Called(const char* name);
  ~Called();
  Called(const Called&) = delete;
  Called& operator=(const Called&) = delete;

  static std::string_view name_or(std::string_view otherwise);

 private:
  const char* before_;
};

class Error : public std::runtime_error {
 public:
  // `where`: the op, program or file that complains; `rule`: what is wrong and what was expected; `hint` may be empty.
  Error(std::string_view where, std::string_view rule, std::string_view hint = {});
};

// Memory could not be had: the process stays usable. `rule` lists the largest owners.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// Throws Error(where, rule, hint) unless `holds`, in the name of the function that was called. `rule` is a callable, so that no
// text is made when all is well.
template <class Rule>
void require(bool holds, std::string_view where, Rule&& rule, std::string_view hint = {}) {
  if (!holds) [[unlikely]] throw Error(Called::name_or(where), rule(), hint);
}

}  // namespace tapir
