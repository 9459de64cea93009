#include "datasets/text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>
#include <string>

#include "tensor/error.h"

namespace tapir {
namespace {

// GPT-2's published pattern is
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Here \s is written out as Unicode's White_Space, its meaning there: PCRE2's own \s has U+180E too.
#define SPACE R"(\p{Z}\t-\r\x{85})"
constexpr std::string_view gpt2_pattern =
    "'s|'t|'re|'ve|'m|'ll|'d"
    R"(| ?\p{L}+| ?\p{N}+| ?[^)" SPACE R"(\p{L}\p{N}]+)"
    "|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+";
#undef SPACE

// Chinese are the blocks that Hugging Face's tokenizers take: BERT's, but for the 256 characters before U+2B920.
#define ALONE                                                                                                              \
  R"(\p{P}$+<=>\^`|~\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF})"                                                  \
  R"(\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}\x{2B740}-\x{2B81F}\x{2B920}-\x{2CEAF}\x{2F800}-\x{2FA1F})"
enum BertGroup { dropped, letters, alone, space };
constexpr std::string_view bert_pattern =
    R"(([^\p{Z}\p{Cc}\p{Cf}\p{Co}\x{FFFD})" ALONE R"(]+)|([)" ALONE R"(])|([\p{Z}\t\n\r]+)|(?s:.))";
#undef ALONE

struct Free {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

class Pattern {
 public:
  explicit Pattern(std::string_view pattern) {
    int failure = 0;
    size_t offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_ANCHORED,
                              &failure, &offset, nullptr));
    require(code_ != nullptr, "pre-tokenizer",
            [&] { return text("PCRE2 refuses the pattern at its character ", offset, " with error ", failure); });
  }

  // Calls visit(match, group) for one match after the other; `group` is the number of the parentheses that matched, 0: none.
  template <class Visit>
  void for_each_match(std::string_view text, const Visit& visit) const {
    const std::unique_ptr<pcre2_match_data, Free> match(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    require(match != nullptr, "pre-tokenizer", [] { return "out of memory"; });
    for (size_t begin = 0; begin < text.size();) {
      const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), begin,
                                    PCRE2_NO_UTF_CHECK, match.get(), nullptr);  // a check would read all that is left
      require(found > 0, "pre-tokenizer",
              [&] { return tapir::text("PCRE2 stops at byte ", begin, " with error ", found); });
      const size_t end = pcre2_get_ovector_pointer(match.get())[1];
      visit(text.substr(begin, end - begin), found - 1);
      begin = end;
    }
  }

 private:
  std::unique_ptr<pcre2_code, Free> code_;
};

}  // namespace

void for_each_piece(std::string_view text, const std::function<void(std::string_view)>& visit) {
  static const Pattern gpt2(gpt2_pattern);
  gpt2.for_each_match(text, [&](std::string_view piece, int) { visit(piece); });
}

void for_each_bert_word(std::string_view text, const std::function<void(std::string_view)>& visit) {
  static const Pattern bert(bert_pattern);
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) visit(word);
    word.clear();
  };
  bert.for_each_match(text, [&](std::string_view match, int group) {
    if (group == letters) word += match;
    if (group == alone || group == space) end_word();
    if (group == alone) visit(match);
  });
  end_word();
}

}  // namespace tapir
