// How byte pair encoding and WordPiece learn their vocabularies: of a text's pieces, the neighbours that occur most often are
// joined to one token, again and again. Source: Sennrich, Haddow, Birch 2016 (arXiv 1508.07909).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tapir {

struct CountedPiece {
  std::vector<int32_t> ids;  // of the tokens that it starts as
  int64_t occurrences;       // in the text
};

// Appends entries until there are `size`, or no neighbours are left. Each is joined(left, right) of the neighbours that occur
// most often within the pieces, joined from left to right; of equally frequent ones those with the smaller left id, then the
// smaller right id. No entry is made twice: equal runs of tokens are joined alike. O(n log n) in the number of ids.
void learn_merges(std::vector<std::string>& entries, int64_t size, const std::vector<CountedPiece>& pieces,
                  const std::function<std::string(std::string_view, std::string_view)>& joined);

}  // namespace tapir
