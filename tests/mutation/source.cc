#include "tests/mutation/source.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <stdexcept>

namespace tapir::mutation {

const std::set<std::string> derivative_structs = {
    "autograd/ops/arithmetic.cc: LargerShare",   // max keeps its derivative for backward
    "autograd/ops/unary.cc: Value",              // the derivative of any order, f among them
    "attention/kernels/fused_kernels.h: AttentionGradientTile",   // forward asks whether it fits
};

namespace {

// Functions of numbers that derivatives are made of.
bool is_slope(const std::string& name) { return name == "chained" || name.ends_with("_slope"); }

const std::set<std::string> derivative_members = {"backward", "df", "composite", "pull", "slopes"};

bool starts_word(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool continues_word(char c) { return starts_word(c) || is_digit(c); }

bool mentions(const Source& source, size_t open, const std::string& word) {
  for (size_t i = open + 1; i < source.tokens()[open].partner; ++i)
    if (source.is(i, word)) return true;
  return false;
}

}  // namespace

Source::Source(std::string file, std::string text) : file_(std::move(file)), text_(std::move(text)) {
  read_tokens();
  match_brackets();
}

int Source::line(size_t token) const {
  return static_cast<int>(1 + std::count(text_.begin(), text_.begin() + static_cast<long>(tokens_[token].begin), '\n'));
}

std::string Source::text(size_t first, size_t last) const {
  std::string joined;
  for (size_t i = first; i < last; ++i) {
    if (i > first && tokens_[i].after_space) joined += ' ';
    joined += tokens_[i].text;
  }
  return joined;
}

void Source::read_tokens() {
  static const std::vector<std::string_view> long_signs = {
      "...", "<=>", "::", "->", "<=", ">=", "==", "!=", "&&", "||", "+=",
      "-=",  "*=",  "/=", "%=", "|=", "&=", "^=", "++", "--", "<<"};
  const std::string_view all = text_;
  size_t at = 0;
  bool space = true, line_start = true;
  const auto skip_to = [&](std::string_view what, size_t after) {
    const size_t found = all.find(what, at);
    at = found == std::string_view::npos ? all.size() : found + after;
    space = true;
  };
  while (at < all.size()) {
    const char c = all[at];
    const std::string_view rest = all.substr(at);
    if (c == '\n') line_start = true;
    if (std::isspace(static_cast<unsigned char>(c))) {
      space = true;
      ++at;
    } else if (rest.starts_with("//") || (c == '#' && line_start)) {
      skip_to("\n", 0);
    } else if (rest.starts_with("/*")) {
      skip_to("*/", 2);
    } else {
      size_t end = at + 1;
      Token::Kind kind = Token::sign;
      if (starts_word(c)) {
        kind = Token::word;
        while (end < all.size() && continues_word(all[end])) ++end;
      } else if (is_digit(c) || (c == '.' && rest.size() > 1 && is_digit(rest[1]))) {
        kind = Token::number;
        const auto continues = [&](char next) {
          const bool exponent = (all[end - 1] | 32) == 'e' && !rest.starts_with("0x");
          return continues_word(next) || next == '.' || next == '\'' || ((next == '-' || next == '+') && exponent);
        };
        while (end < all.size() && continues(all[end])) ++end;
      } else if (c == '"' || c == '\'') {
        kind = Token::literal;
        while (end < all.size() && all[end] != c) end += all[end] == '\\' ? 2 : 1;
        ++end;
      } else {
        for (const std::string_view sign : long_signs)
          if (rest.starts_with(sign)) {
            end = at + sign.size();
            break;
          }
      }
      tokens_.push_back({kind, all.substr(at, end - at), at, end, space});
      at = end;
      space = line_start = false;
    }
  }
  tokens_.push_back({Token::sign, {}, all.size(), all.size(), true});
}

// `<` opens a template's arguments where no space is in front of it, as clang-format writes them.
void Source::match_brackets() {
  std::vector<size_t> open;
  for (size_t i = 0; i + 1 < tokens_.size(); ++i) {
    const std::string_view t = tokens_[i].text;
    const bool follows = i > 0 && !tokens_[i].after_space && (tokens_[i - 1].kind == Token::word || is(i - 1, "]"));
    if (t == "(" || t == "[" || t == "{" ||
        (t == "<" && i > 0 && !is(i - 1, "operator") && (follows || is(i - 1, "template")))) {
      open.push_back(i);
      continue;
    }
    const bool angle = t == ">";
    if (!angle && t != ")" && t != "]" && t != "}") continue;
    if (angle && (open.empty() || !is(open.back(), "<"))) continue;
    while (!angle && !open.empty() && is(open.back(), "<")) open.pop_back();
    if (open.empty() || tokens_[open.back()].text != (t == ")" ? "(" : t == "]" ? "[" : t == "}" ? "{" : "<"))
      throw std::runtime_error(file_ + ":" + std::to_string(line(i)) + ": a bracket that nothing opens");
    tokens_[i].partner = open.back();
    tokens_[open.back()].partner = i;
    open.pop_back();
  }
  if (!open.empty()) throw std::runtime_error(file_ + ":" + std::to_string(line(open.back())) + ": a bracket stays open");
}

std::vector<Function> Source::functions() const {
  std::vector<Function> found;
  read_scope(0, tokens_.size() - 1, "", false, found);
  return found;
}

// Declarations of a namespace or a struct, one after the other.
void Source::read_scope(size_t token, size_t end, const std::string& owner, bool hidden,
                        std::vector<Function>& found) const {
  const auto past = [&](size_t open) { return tokens_[open].partner + 1; };
  while (token < end) {
    std::string type;
    Function function{owner, "", 0, 0, hidden};
    for (bool done = false; !done && token < end;) {
      if (is(token, ";")) {
        ++token;
        done = true;
      } else if (is(token, "namespace")) {
        const size_t name = token;
        while (!is(token, "{") && !is(token, ";")) ++token;
        if (is(token, "{")) read_scope(token + 1, tokens_[token].partner, owner, hidden || token == name + 1, found);
        token = is(token, "{") ? past(token) : token + 1;
        done = true;
      } else if (is(token, "struct") || is(token, "class") || is(token, "enum") || is(token, "union")) {
        for (++token; is(token, "[") || is(token, "class"); token = opens(token) ? past(token) : token + 1) {}
        type = tokens_[token++].text;
      } else if (is(token, "requires") && is(token + 1, "(")) {
        token = past(token + 1);
      } else if (is(token, "operator")) {
        const size_t name = token;
        token += is(token + 1, "(") ? 3 : 2;
        while (!is(token, "(")) ++token;
        function.name = text(name, token);
      } else if (is(token, "(") && !function.parameters) {
        function.parameters = token;
        if (function.name.empty()) function.name = tokens_[token - 1].text;
        token = past(token);
      } else if (is(token, ":") && function.parameters) {   // members of a constructor: name(…) or name{…}
        do {
          while (!is(token, "(") && !is(token, "{")) ++token;
          token = past(token);
        } while (is(token, ","));
      } else if (is(token, "{") && !type.empty() && !function.parameters) {
        read_scope(token + 1, tokens_[token].partner, type, hidden, found);
        token = past(token);
      } else if (is(token, "{") && function.parameters) {
        function.body = token;
        found.push_back(function);
        token = past(token);
        done = true;
      } else {
        token = opens(token) ? past(token) : token + 1;
      }
    }
  }
}

std::vector<Function> derivatives(const Source& source) {
  const std::vector<Function> all = source.functions();
  std::vector<bool> chosen;
  for (const Function& f : all)
    chosen.push_back((!f.owner.empty() && derivative_members.contains(f.name)) ||
                     derivative_structs.contains(source.file() + ": " + f.owner) || mentions(source, f.parameters, "Dual") ||
                     is_slope(f.name));
  // Then, until nothing changes: a hidden struct or function, or a member, that only derivatives call.
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < all.size(); ++i) {
      if (chosen[i] || (all[i].owner.empty() && !all[i].hidden)) continue;
      const bool kernel = all[i].hidden && !all[i].owner.empty();
      const std::string& name = kernel ? all[i].owner : all[i].name;
      bool called = false, elsewhere = false;
      for (size_t j = 0; j < all.size(); ++j) {
        if (all[j].owner == all[i].owner ? kernel || i == j : !kernel && !all[i].owner.empty()) continue;
        if (!mentions(source, all[j].body, name)) continue;
        (chosen[j] ? called : elsewhere) = true;
      }
      if (called && !elsewhere) chosen[i] = changed = true;
    }
  }
  std::vector<Function> found;
  for (size_t i = 0; i < all.size(); ++i)
    if (chosen[i]) found.push_back(all[i]);
  return found;
}

std::vector<Function> of_mechanism(const Source& source) {
  std::vector<Function> found = source.functions();
  std::erase_if(found, [](const Function& f) {
    const bool own = !f.owner.empty() || f.hidden;
    return !own || f.name == "fields" || f.name.find("claims") != std::string::npos;
  });
  return found;
}

}  // namespace tapir::mutation
