// A C++ source as the mutation run reads it: tokens with their brackets matched, functions, and which of them belong to a
// derivative. It reads the language as this repository writes it, not all of C++.
#pragma once
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace tapir::mutation {

struct Token {
  enum Kind { word, number, literal, sign } kind;
  std::string_view text;
  size_t begin, end;    // bytes of the source
  bool after_space;
  size_t partner = 0;   // of a bracket that has one; angle brackets are those of templates
};

struct Function {
  std::string owner, name;   // the innermost struct, or nothing
  size_t parameters, body;   // tokens: their opening brackets
  bool hidden;               // in an anonymous namespace
  std::string label() const { return owner.empty() ? name : owner + "::" + name; }
};

class Source {
 public:
  Source(std::string file, std::string text);   // throws std::runtime_error where brackets do not match
  Source(const Source&) = delete;               // tokens point into the text

  const std::string& file() const { return file_; }
  const std::string& text() const { return text_; }
  const std::vector<Token>& tokens() const { return tokens_; }   // the last one is empty
  bool is(size_t token, std::string_view text) const { return tokens_[token].text == text; }
  bool opens(size_t token) const { return tokens_[token].partner > token; }
  int line(size_t token) const;
  // Tokens first … last − 1 on one line, without comments.
  std::string text(size_t first, size_t last) const;

  std::vector<Function> functions() const;

 private:
  void read_tokens();
  void match_brackets();
  void read_scope(size_t token, size_t end, const std::string& owner, bool hidden, std::vector<Function>& found) const;

  std::string file_, text_;
  std::vector<Token> tokens_;
};

// "FILE: STRUCT" of those that forward names too, and that are derivatives all the same.
extern const std::set<std::string> derivative_structs;

// The functions of a source that compute derivatives: members such as `backward`, `df` and `composite`; what no other function
// calls; functions of dual numbers; and the few whose role cannot be seen.
std::vector<Function> derivatives(const Source& source);

// What a mechanism of the zoo computes: functions of its own file but for its row, its options' fields and its claims.
std::vector<Function> of_mechanism(const Source& source);

}  // namespace tapir::mutation
