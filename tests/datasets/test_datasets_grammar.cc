// Generated articles: the same bytes everywhere, the format of WikiText, and what a model can learn from them.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <string_view>
#include <vector>

#include "datasets/synthetic/grammar.h"
#include "datasets/text/tokenizer.h"
#include "tensor/sha256.h"
#include "tests/datasets/datasets_helpers.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

using Words = std::vector<std::string>;

// The lines of each article, each as its words. An article starts at a line "= Title =".
std::vector<std::vector<Words>> articles_of(const std::string& text) {
  std::vector<std::vector<Words>> articles;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream rest(line);
    Words words;
    for (std::string word; rest >> word;) words.push_back(word);
    if (words.empty()) continue;
    if (words[0] == "=" && words[1] != "=") articles.emplace_back();
    articles.back().push_back(words);
  }
  return articles;
}

bool has(const Words& words, const std::string& word) { return std::find(words.begin(), words.end(), word) != words.end(); }

}  // namespace

TEST_CASE("generated text is a function of the seed alone") {
  const std::string text = generated_articles(1, 20'000);
  CHECK(sha256_hex(text) == "6ae36e4fd5b5fc06bb139e40f00df40ae7f989e41062e77d71c5951bc654142e");
  CHECK(generated_articles(1, 20'000) == text);
  CHECK(generated_articles(2, 20'000) != text);
  CHECK(generated_articles(1, 30'000).starts_with(text));
}

TEST_CASE("generated text has the length asked for, in whole articles") {
  for (const int64_t tokens : {1, 1000, 50'000}) {
    const int64_t count = count_word_tokens(generated_articles(3, tokens));
    CHECK(count >= tokens);
    CHECK(count < tokens + 1000);
  }
  for (const int64_t tokens : {0, -5}) {
    CHECK(error_of([&] { generated_articles(1, tokens); }) ==
          text("generated text: expected at least 1 token, found ", tokens));
  }
}

TEST_CASE("generated text has the format of WikiText and a small vocabulary") {
  const std::string text = generated_articles(4, 400'000);
  std::istringstream stream(text);
  std::string before = " ";
  for (std::string line; std::getline(stream, line);) {
    REQUIRE(line.front() == ' ');
    REQUIRE(line.back() == ' ');
    const bool heading = line.starts_with(" = ");
    REQUIRE((heading ? line.ends_with(" = ") : line == " " || line.ends_with(" . ")));
    if (heading) REQUIRE(before == " ");
    before = line;
  }
  CHECK(text.find_first_of("{}|") == text.npos);  // every rule was expanded
  CHECK(text.find("  ") == text.npos);
  std::istringstream words(text);
  std::string previous;
  for (std::string word; words >> word; previous = word) {
    const bool vowel = std::string_view("aeiou").find(word.front()) != std::string_view::npos;
    if (previous == "a") REQUIRE(!vowel);
    if (previous == "an") REQUIRE(vowel);
  }
  CHECK(text.find(" an elderly ") != text.npos);
  const auto tokenizer = WordTokenizer::from_text(text);
  CHECK(tokenizer.size() >= 300);
  CHECK(tokenizer.size() <= 600);
  const auto ids = tokenizer.encode(text);
  const auto unknown = std::count(ids.begin(), ids.end(), *tokenizer.vocabulary().id("<unk>"));
  CHECK(unknown * 200 > static_cast<int64_t>(ids.size()));  // between 1 in 200 and 1 in 50
  CHECK(unknown * 50 < static_cast<int64_t>(ids.size()));
}

TEST_CASE("an article keeps its name, its pronoun, and the number of its first sentence") {
  for (const auto& article : articles_of(generated_articles(5, 50'000))) {
    const Words& title = article[0];  // = Name of Place =
    REQUIRE(title.size() == 5);
    const Words& first = article[1];  // Name of Place is a(n) quality species who keeps number things in ...
    REQUIRE(Words(first.begin(), first.begin() + 3) == Words(title.begin() + 1, title.begin() + 4));
    const auto keeps = std::find(first.begin(), first.end(), "keeps");
    REQUIRE(keeps != first.end());
    const std::string number = keeps[1], things = keeps[2];
    bool collection_repeats = false, female = false, male = false;
    for (size_t i = 1; i < article.size(); ++i) {
      if (article[i][0] == "=") {
        REQUIRE(has(article[i + 1], title[1]));  // every section speaks of the name
        if (has(article[i], "Collection")) collection_repeats = has(article[i + 1], number) && has(article[i + 1], things);
      }
      for (const std::string& word : article[i]) {
        female |= word == "she" || word == "She" || word == "her";
        male |= word == "he" || word == "He" || word == "his";
        const bool is_number = word.find_first_not_of("0123456789") == word.npos;
        const bool is_year = word.size() == 4;
        if (is_number && !is_year) REQUIRE(word == number);
      }
    }
    REQUIRE(collection_repeats);
    REQUIRE(female != male);
  }
}

TEST_CASE("verbs agree with their subject, across a relative clause too") {
  const std::set<std::string> singular = {"captain", "professor", "painter", "composer", "inspector", "bishop"};
  const std::set<std::string> plural = {"captains", "professors", "painters", "composers", "inspectors", "bishops"};
  const std::set<std::string> singular_verbs = {"is", "sleeps", "walks", "sings", "dances", "believes", "has"};
  const std::set<std::string> plural_verbs = {"are", "sleep", "walk", "sing", "dance", "believe"};
  const auto is_plural = [](const std::string& noun) {
    return (noun.back() == 's' && noun != "walrus") || noun == "children" || noun == "geese";
  };
  int direct = 0, across = 0;
  for (const auto& article : articles_of(generated_articles(6, 200'000))) {
    for (const Words& line : article) {
      for (size_t i = 0; i + 1 < line.size(); ++i) {
        // "the captain sleeps"; "the captain that the painters admire sleeps"
        if (!singular.contains(line[i]) && !plural.contains(line[i])) continue;
        const bool relative = i + 5 < line.size() && line[i + 1] == "that" && line[i + 2] == "the" && i >= 1 &&
                              (line[i - 1] == "The" || line[i - 1] == "the");
        const bool sentence_start = i >= 1 && line[i - 1] == "The";
        if (!relative && !sentence_start) continue;
        if (relative && (singular.contains(line[i + 3]) || plural.contains(line[i + 3])) && line[i + 4] != "<unk>") {
          REQUIRE((line[i + 4].back() == 's') == singular.contains(line[i + 3]));  // "the painters admire"
        }
        const std::string& verb = line[i + (relative ? 5 : 1)];
        if (!singular_verbs.contains(verb) && !plural_verbs.contains(verb)) continue;
        CAPTURE(verb);
        REQUIRE(singular.contains(line[i]) == singular_verbs.contains(verb));
        if (relative) REQUIRE(is_plural(line[i]) != is_plural(line[i + 3]));
        ++(relative ? across : direct);
      }
    }
  }
  CHECK(direct > 100);
  CHECK(across > 100);
}
