#include "tests/mutation/mutate.h"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace tapir::mutation {
namespace {

const std::map<std::string, std::vector<std::string>> instead_of_operator = {
    {"+", {"-"}}, {"-", {"+"}}, {"*", {"/"}}, {"/", {"*"}}, {"%", {"/"}}, {"&&", {"||"}}, {"||", {"&&"}},
    {"<", {">=", "<="}}, {">", {"<=", ">="}}, {"<=", {">", "<"}}, {">=", {"<", ">"}}, {"==", {"!="}}, {"!=", {"=="}}};

const std::map<std::string, std::string> instead_of_call = {
    {"add", "sub"}, {"sub", "add"}, {"mul", "div"}, {"div", "mul"}, {"maximum", "minimum"}, {"minimum", "maximum"},
    {"sin", "cos"}, {"cos", "sin"}};

// From the loosest to the tightest.
const std::vector<std::set<std::string_view>> levels = {
    {"||"}, {"&&"}, {"|"}, {"^"}, {"&"}, {"==", "!="}, {"<", ">", "<=", ">="}, {"<<"}, {"+", "-"}, {"*", "/", "%"}};

struct Site {
  size_t first, last;   // tokens
  std::set<std::string> mutated{};
  std::string choice{};   // "mutant(7) ? (…) : mutant(8) ? (…) : "
  bool truth = false;     // a pointer, perhaps, that stands for a truth value
};

// Reads the bodies of functions. A function named after what it reads takes the token it begins with and returns the one
// behind it.
class Reader {
 public:
  Reader(const Source& source, const TensorFunctions& functions, std::vector<Mutant>& mutants)
      : s(source), functions_(functions), mutants_(mutants) {}

  void read(const Function& function) {
    function_ = function.label();
    statements(function.body + 1, partner(function.body));
  }

  // The source with a choice at every site.
  std::string result() {
    std::stable_sort(sites_.begin(), sites_.end(), [](const Site& a, const Site& b) {
      return a.first != b.first ? a.first < b.first : a.last > b.last;   // outer ones come first
    });
    std::vector<std::string> before(s.tokens().size()), after(s.tokens().size());
    for (const Site& site : sites_) {
      before[site.first] += '(' + site.choice + (site.truth ? "!!(" : "(");
      after[site.last - 1] += "))";
    }
    std::string text = "#include \"tests/mutation/mutant.h\"\n";
    size_t copied = 0;
    for (size_t i = 0; i + 1 < s.tokens().size(); ++i) {
      const Token& t = s.tokens()[i];
      text.append(s.text(), copied, t.begin - copied).append(before[i]).append(t.text).append(after[i]);
      copied = t.end;
    }
    return text.append(s.text(), copied);
  }

 private:
  // ---- mutants

  void mutant(size_t first, size_t last, const std::string& mutated, const std::string& original_name = "",
              const std::string& mutated_name = "", bool truth = false) {
    auto site = std::find_if(sites_.begin(), sites_.end(),
                             [&](const Site& other) { return other.first == first && other.last == last; });
    if (site == sites_.end()) site = sites_.insert(site, {first, last});
    site->truth = site->truth || truth;
    if (!site->mutated.insert(mutated).second) return;   // x + x without its first or its second term
    site->choice += "::tapir::mutation::mutant(" + std::to_string(mutants_.size()) + ") ? (" + mutated + ") : ";
    Mutant m{s.file(), function_, original_name.empty() ? s.text(first, last) : original_name,
             mutated_name.empty() ? mutated : mutated_name};
    const int repeated = ++keys_[m.key()];
    if (repeated > 1) m.mutated += " #" + std::to_string(repeated);
    mutants_.push_back(m);
  }

  // Tokens first … last − 1, of which gone_first … gone_last − 1 are replaced.
  void replaced(size_t first, size_t last, size_t gone_first, size_t gone_last, const std::string& by = "") {
    std::string text = s.text(first, gone_first);
    const auto append = [&](const std::string& part, size_t in_place_of) {
      if (!text.empty() && !part.empty() && s.tokens()[in_place_of].after_space) text += ' ';
      text += part;
    };
    append(by, gone_first);
    append(s.text(gone_last, last), gone_last);
    mutant(first, last, text);
  }

  void scaled(size_t first, size_t last) {
    const std::string value = s.text(first, last);
    static const std::vector<std::string> left = {"Tensor::empty(", "Tensor::zeros(", "parameter(", "&parameter(", "child<", "&child<"};
    const auto begins = [&](const std::string& word) { return value.starts_with(word); };
    if (is(first, "[") || value == "T(0)" || value == "Tensor()" || value.find("::state(") != std::string::npos ||
        std::any_of(left.begin(), left.end(), begins))
      return;   // closures, what has no value to scale, and what cannot be copied
    mutant(first, last, "::tapir::mutation::scaled(" + value + ")", value, "1.0001 (" + value + ")");
  }

  void negated(size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) {
      const bool has_mutants = instead_of_operator.contains(std::string(s.tokens()[i].text));
      if (is(i, "!") || (has_mutants && !is_arithmetic(i) && !is_angle(i))) return;
    }
    mutant(first, last, "!(" + s.text(first, last) + ")", "", "", true);
  }

  // first operand, operator, operand … of one level
  void chain(const std::vector<size_t>& operands, const std::vector<size_t>& ends) {
    const size_t first = operands.front(), last = ends.back();
    for (size_t k = 1; k < operands.size(); ++k) {
      const size_t sign = operands[k] - 1;
      const auto found = instead_of_operator.find(std::string(s.tokens()[sign].text));
      if (found == instead_of_operator.end()) continue;
      for (const std::string& other : found->second) replaced(first, last, sign, sign + 1, other);
      if (is_arithmetic(sign) && !is(sign, "%")) replaced(first, last, sign, ends[k]);
    }
    const size_t sign = operands[1] - 1;
    if (is(sign, "*") || (is(sign, "+") && !pointer_ && !points(ends[0]))) replaced(first, last, first, operands[1]);
    if (is(sign, "-")) replaced(first, last, first, ends[0]);
  }

  // A call of memory: p.begin(), t.data<T>()
  bool points(size_t end) const {
    if (!is(end - 1, ")")) return false;
    size_t name = s.tokens()[end - 1].partner - 1;
    if (is_angle(name)) name = s.tokens()[name].partner - 1;
    return is(name, "begin") || is(name, "data");
  }

  void call(size_t first, size_t name, size_t last, const std::vector<std::pair<size_t, size_t>>& arguments) {
    const std::string function(s.tokens()[name].text);
    const bool plain = name == first, of_view = name == first + 2 && is(first, "view");
    if (name != first && (is(first - 1, ".") || is(first - 1, "->"))) return;
    if (plain && instead_of_call.contains(function)) replaced(first, last, first, first + 1, instead_of_call.at(function));
    const auto found = functions_.find(function);
    size_t begin = 0, count = 0;
    if (function == "select") begin = 1, count = 3;
    else if (name == first + 2 && is(first, "math") && arguments.size() == 1) count = 1;
    else if ((plain || of_view) && found != functions_.end()) count = static_cast<size_t>(found->second);
    for (size_t k = begin; k < std::min(count, arguments.size()); ++k) {
      const size_t from = arguments[k].first, to = arguments[k].second;
      if (to != from + 1 || s.tokens()[from].kind != Token::number) mutant(first, last, s.text(from, to));   // a number is no tensor
    }
  }

  // ---- statements

  void statements(size_t i, size_t end) {
    while (i < end) i = statement(i);
  }

  size_t statement(size_t i) {
    static const std::set<std::string_view> left_alone = {"using", "throw", "static_assert", "static", "break", "continue"};
    if (is(i, ";")) return i + 1;
    if (is(i, "{")) {
      statements(i + 1, partner(i));
      return partner(i) + 1;
    }
    if (is(i, "else")) return statement(i + 1);
    if (is(i, "if") || is(i, "while")) {
      const bool at_compile_time = is(i + 1, "constexpr");
      const size_t open = i + 1 + at_compile_time;
      if (!at_compile_time) condition(open + 1, partner(open));
      return statement(partner(open) + 1);
    }
    if (is(i, "for")) {
      const size_t close = partner(i + 1), middle = simple(i + 2);
      if (is(middle, ":")) {
        is(middle + 1, "{") ? list(middle + 1) : expression(middle + 1);
      } else {
        const size_t second = is(middle + 1, ";") ? middle + 1 : expression(middle + 1);
        for (i = second + 1; i < close; i += is(i, ",")) i = expression(i);
      }
      return statement(close + 1);
    }
    if (is(i, "return")) {
      i = is(i + 1, ";") ? i + 1 : is(i + 1, "{") ? list(i + 1, true) : value(i + 1);
      return behind(i, ";");
    }
    if (left_alone.contains(s.tokens()[i].text) || s.tokens()[i].text.starts_with("require")) {
      while (!is(i, ";")) i = s.opens(i) ? partner(i) + 1 : i + 1;
      return i + 1;
    }
    return behind(simple(i), ";");
  }

  void condition(size_t i, size_t end) {
    if (declared_name(i)) {
      i = simple(i);
      if (i == end) return;
      i = behind(i, ";");
    }
    negated(i, end);
    if (expression(i) != end) unreadable(i);
  }

  // A declaration or expressions with commas; returns the token that ends it.
  size_t simple(size_t i) {
    size_t name = declared_name(i);
    if (!name) {
      i = expression(i);
      return is(i, ",") ? simple(i + 1) : i;
    }
    const std::string type = s.text(i + is(i, "const"), name);
    const bool is_number = type.starts_with("T ") || type.starts_with("Tensor ") || type == "T" || type == "Tensor";
    pointer_ = is(name - 1, "*");
    for (;;) {
      i = name + 1;
      if (is(i, "[")) i = partner(i) + 1;
      if (is(i, "=")) i = is(i + 1, "{") ? list(i + 1) : is_number && !pointer_ ? value(i + 1) : expression(i + 1);
      else if (is(i, "{") || is(i, "(")) i = list(i);
      pointer_ = false;
      if (!is(i, ",")) return i;
      for (name = i + 1; is(name, "*") || is(name, "&"); ++name) pointer_ = pointer_ || is(name, "*");
    }
  }

  // The name that a declaration at i begins with; 0 if there is none.
  size_t declared_name(size_t i) const {
    while (is(i, "const") || is(i, "constexpr")) ++i;
    if (!is_word(i)) return 0;
    for (;; ++i) {
      if (is(i, "decltype")) i = partner(i + 1) - 1;
      if (is(i + 1, "<") && s.opens(i + 1)) i = partner(i + 1);
      if (is(i + 1, "::")) ++i;
      else if (!is_word(i + 1) || !is_word(i + 2)) break;
    }
    for (++i; is(i, "*") || is(i, "&") || is(i, "&&") || is(i, "const");) ++i;
    if (is(i, "[") && (is(i - 1, "auto") || is(i - 1, "&"))) return partner(i);
    static const std::set<std::string_view> next = {"=", ";", ",", "{", "(", "[", ":"};
    return is_word(i) && next.contains(s.tokens()[i + 1].text) ? i : 0;
  }

  // ---- expressions

  // Elements between brackets. Two kinds of argument are no arithmetic: which input is wanted, and how rows are shared
  // among threads.
  size_t list(size_t open, bool results = false, std::vector<std::pair<size_t, size_t>>* elements = nullptr,
              std::string_view function = "") {
    const size_t close = partner(open);
    if (function == "needs") return close + 1;
    size_t count = 0;
    for (size_t i = open + 1; i < close; i = is(i, ",") ? i + 1 : i) {
      if (is(i, ".")) i += is(i + 2, "=") ? 3 : 2;
      const size_t first = i;
      if (++count == 3 && function == "for_each_row")
        while (!is(i, ",") && i < close) i = s.opens(i) ? partner(i) + 1 : i + 1;
      else i = is(i, "{") ? list(i) : results ? value(i) : expression(i);
      if (elements) elements->push_back({first, i});
      if (!is(i, ",") && i != close) unreadable(i);
    }
    return close + 1;
  }

  size_t value(size_t i) {   // an expression that is a result
    const size_t end = expression(i);
    scaled(i, end);
    return end;
  }

  size_t expression(size_t i) {
    static const std::set<std::string_view> assignments = {"=", "+=", "-=", "*=", "/="};
    const size_t end = ternary(i);
    if (!assignments.contains(s.tokens()[end].text)) return end;
    if (is(end + 1, "{")) return list(end + 1);
    const size_t first = end + 1, last = value(first);
    const std::string left = s.text(i, end) + ' ', sign(s.tokens()[end].text), right = s.text(first, last);
    const auto other = [&](const std::string& other_sign, const std::string& mutated) {
      mutant(first, last, mutated, left + sign + ' ' + right, left + other_sign + ' ' + right);
    };
    if (sign == "+=") other("-=", "-(" + right + ")");
    if (sign == "-=") other("+=", "-(" + right + ")");
    if (sign == "*=") other("/=", "1 / (" + right + ")");
    if (sign == "/=") other("*=", "1 / (" + right + ")");
    if (sign == "+=" || sign == "-=") other(sign + " 0 *", "0 * (" + right + ")");
    return last;
  }

  size_t ternary(size_t i) {
    const size_t question = binary(i, 0);
    if (!is(question, "?")) return question;
    negated(i, question);
    const size_t colon = expression(question + 1);
    return expression(behind(colon, ":"));
  }

  size_t binary(size_t i, size_t level) {
    if (level == levels.size()) return unary(i);
    std::vector<size_t> operands{i}, ends{binary(i, level + 1)};
    while (levels[level].contains(s.tokens()[ends.back()].text) && !is_angle(ends.back())) {
      operands.push_back(ends.back() + 1);
      ends.push_back(binary(operands.back(), level + 1));
    }
    if (ends.size() > 1) chain(operands, ends);
    return ends.back();
  }

  size_t unary(size_t i) {
    static const std::set<std::string_view> prefixes = {"-", "!", "~", "*", "&", "++", "--"};
    if (!prefixes.contains(s.tokens()[i].text)) return postfix(i);
    const size_t end = unary(i + 1);
    if (is(i, "-")) replaced(i, end, i, i + 1);
    if (is(i, "!")) mutant(i, end, "!" + s.text(i, end), s.text(i, end), s.text(i + 1, end));
    return end;
  }

  size_t postfix(const size_t first) {
    size_t i = primary(first), name = i - 1;
    if (is_angle(name)) name = partner(name) - 1;
    for (;;) {
      if (is(i, "(")) {
        std::vector<std::pair<size_t, size_t>> arguments;
        const size_t end = list(i, false, &arguments, s.tokens()[name].text);
        if (i == name + 1) call(first, name, end, arguments);
        i = end;
      } else if (is(i, "[") || is(i, "{")) {
        i = list(i);
      } else if (is(i, ".") || is(i, "->") || is(i, "::")) {
        i += is(i + 1, "template") ? 3 : 2;
        name = i - 1;
        if (is(i, "<") && s.opens(i)) i = partner(i) + 1;
      } else if (is(i, "++") || is(i, "--") || is(i, "...")) {
        ++i;
      } else {
        return i;
      }
    }
  }

  size_t primary(size_t i) {
    const Token& t = s.tokens()[i];
    if (t.kind == Token::number) {
      const std::string text(t.text);
      const bool whole = text.find_first_not_of("0123456789") == std::string::npos;
      const std::string other = whole ? std::to_string(std::stol(text) + 1)
                                : text.find('.') == std::string::npos ? text + " + 1" : "1.0001 * " + text;
      const bool alone = (is(i - 1, "[") || is(i - 1, "(")) && partner(i - 1) == i + 1 && is_word(i - 2);   // T(0), in[0]
      if (alone) mutant(i, i + 1, other, s.text(i - 2, i + 2), s.text(i - 2, i) + other + s.text(i + 1, i + 2));
      else mutant(i, i + 1, other);
      return i + 1;
    }
    if (t.kind == Token::literal) {
      while (s.tokens()[i].kind == Token::literal) ++i;
      return i;
    }
    if (t.text == "(") return list(i);
    if (t.text == "[") {   // a closure
      i = partner(i) + 1;
      if (is(i, "<")) i = partner(i) + 1;
      if (is(i, "(")) i = partner(i) + 1;
      while (!is(i, "{")) ++i;
      statements(i + 1, partner(i));
      return partner(i) + 1;
    }
    if (t.kind != Token::word) unreadable(i);
    for (++i;; i += 2) {
      if (is(i, "<") && s.opens(i)) i = partner(i) + 1;
      if (!is(i, "::")) return i;
      if (is(i + 1, "template")) ++i;
    }
  }

  // ---- tokens

  bool is(size_t i, std::string_view text) const { return s.is(i, text); }
  bool is_word(size_t i) const { return s.tokens()[i].kind == Token::word; }
  bool is_angle(size_t i) const { return (is(i, "<") || is(i, ">")) && s.tokens()[i].partner != 0; }
  bool is_arithmetic(size_t i) const { return is(i, "+") || is(i, "-") || is(i, "*") || is(i, "/") || is(i, "%"); }
  size_t partner(size_t i) const {
    if (s.tokens()[i].partner == 0) unreadable(i);
    return s.tokens()[i].partner;
  }
  size_t behind(size_t i, std::string_view text) const {
    if (!is(i, text)) unreadable(i);
    return i + 1;
  }
  [[noreturn]] void unreadable(size_t i) const {
    throw std::runtime_error(s.file() + ":" + std::to_string(s.line(i)) + ": the reader of mutants stops at '" +
                             std::string(s.tokens()[i].text) + "'");
  }

  const Source& s;
  const TensorFunctions& functions_;
  std::vector<Mutant>& mutants_;
  std::vector<Site> sites_;
  std::map<std::string, int> keys_;   // how often each was seen
  std::string function_;
  bool pointer_ = false;   // inside of the initialiser of a pointer
};

}  // namespace

TensorFunctions tensor_functions(const Source& header) {
  TensorFunctions found;
  for (size_t i = 0; i + 3 < header.tokens().size(); ++i)
    if (header.is(i, "Tensor") && header.tokens()[i + 1].kind == Token::word && header.is(i + 2, "(")) {
      int count = 0;
      for (size_t j = i + 3; header.is(j, "const") && header.is(j + 1, "Tensor") && header.is(j + 2, "&"); j += 5) ++count;
      int& known = found[std::string(header.tokens()[i + 1].text)];
      known = std::max(known, count);
    }
  return found;
}

std::string mutate(const Source& source, const std::vector<Function>& chosen, const TensorFunctions& functions,
                   std::vector<Mutant>& mutants) {
  Reader reader(source, functions, mutants);
  for (const Function& function : chosen) reader.read(function);
  return reader.result();
}

}  // namespace tapir::mutation
