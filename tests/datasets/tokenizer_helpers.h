// For tests of tokenizers: the hostile strings that scripts of tests/golden/ make as well, their digests, and learning by the
// definition.
#pragma once
#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "datasets/text/tokenizer.h"
#include "tensor/sha256.h"

namespace tapir::testing {

using Ids = std::vector<int32_t>;
using Words = std::vector<std::string>;

inline std::string from_hexadecimal(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2) bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

// The strings of hostile_strings() in golden/bpe.py.
inline Words hostile_strings_of(const nlohmann::json& hexadecimal_fragments) {
  Words fragments, strings;
  for (const std::string digits : hexadecimal_fragments) fragments.push_back(from_hexadecimal(digits));
  for (uint64_t i = 0; i < 10'000; ++i) {
    uint64_t state = i;
    const auto below = [&](uint64_t n) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      return (state >> 33) % n;
    };
    std::string& string = strings.emplace_back();
    for (uint64_t left = below(12); left > 0; --left) {
      const std::string& fragment = fragments[below(fragments.size())];
      for (uint64_t copies = below(8) == 0 ? 1 + below(40) : 1; copies > 0; --copies) string += fragment;
    }
  }
  return strings;
}

inline std::string joined(std::span<const std::string> words) {
  std::string text;
  for (const std::string& word : words) text += (&word == &words.front() ? "" : "\n") + word;
  return text;
}

inline std::string digest_of_entries(const Tokenizer& tokenizer) {
  return sha256_hex(joined(tokenizer.vocabulary().entries()) + "\n");
}

inline void add_ids(Sha256& sha, Ids ids) {
  ids.push_back(-1);
  sha.update(std::as_bytes(std::span(ids)));
}

// learn_merges from the definition: every pair of neighbours is counted again before each entry. `pieces` has each piece as
// often as the text.
inline Words learned_by_definition(Words entries, size_t size, std::vector<Ids> pieces,
                                   const std::function<std::string(const std::string&, const std::string&)>& join) {
  while (entries.size() < size) {
    std::map<std::pair<int32_t, int32_t>, int> counts;
    for (const Ids& ids : pieces)
      for (size_t i = 1; i < ids.size(); ++i) ++counts[{ids[i - 1], ids[i]}];
    const auto best =
        std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == counts.end()) break;
    const std::pair<int32_t, int32_t> pair = best->first;  // of equals the first, which is the smallest
    for (Ids& ids : pieces)
      for (size_t i = 0; i + 1 < ids.size(); ++i)
        if (std::pair(ids[i], ids[i + 1]) == pair) {
          ids[i] = static_cast<int32_t>(entries.size());
          ids.erase(ids.begin() + static_cast<int64_t>(i) + 1);
        }
    entries.push_back(join(entries[static_cast<size_t>(pair.first)], entries[static_cast<size_t>(pair.second)]));
  }
  return entries;
}

}  // namespace tapir::testing
