#include "datasets/text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>

#include "tensor/error.h"

namespace tapir {
namespace {

// The published pattern is
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Here \s is written out as Unicode's White_Space, its meaning there: PCRE2's own \s has U+180E too.
#define SPACE R"(\p{Z}\t-\r\x{85})"
constexpr std::string_view pattern =
    "'s|'t|'re|'ve|'m|'ll|'d"
    R"(| ?\p{L}+| ?\p{N}+| ?[^)" SPACE R"(\p{L}\p{N}]+)"
    "|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+";
#undef SPACE

struct Free {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

std::unique_ptr<pcre2_code, Free> compiled() {
  int failure = 0;
  size_t offset = 0;
  std::unique_ptr<pcre2_code, Free> code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                                       PCRE2_UTF | PCRE2_ANCHORED, &failure, &offset, nullptr));
  require(code != nullptr, "pre-tokenizer",
          [&] { return text("PCRE2 refuses the pattern at its character ", offset, " with error ", failure); });
  return code;
}

}  // namespace

void for_each_piece(std::string_view text, const std::function<void(std::string_view)>& visit) {
  static const auto code = compiled();
  const std::unique_ptr<pcre2_match_data, Free> match(pcre2_match_data_create(1, nullptr));
  require(match != nullptr, "pre-tokenizer", [] { return "out of memory"; });
  for (size_t begin = 0; begin < text.size();) {
    const int found = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), begin,
                                  PCRE2_NO_UTF_CHECK, match.get(), nullptr);  // a check would read all that is left
    require(found > 0, "pre-tokenizer", [&] { return tapir::text("PCRE2 stops at byte ", begin, " with error ", found); });
    const size_t end = pcre2_get_ovector_pointer(match.get())[1];
    visit(text.substr(begin, end - begin));
    begin = end;
  }
}

}  // namespace tapir
