#include "attention/reproduce/program/near.h"

#include <algorithm>

#include "tensor/error.h"

namespace tapir {
namespace {

// Wagner & Fischer 1974, and Damerau 1964: neighbours that were swapped are one fault.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i)
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j - 1] + (a[i - 1] != b[j - 1]), d[i - 1][j] + 1, d[i][j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

constexpr size_t far = 1000;

size_t distance(const std::string& word, const std::string& known) {
  if (word == known) return 0;
  const size_t longer = std::max(word.size(), known.size());
  if (longer > far) return far;
  if (std::min(word.size(), known.size()) >= 2 && (known.starts_with(word) || word.starts_with(known))) return 1;
  const size_t faults = edit_distance(word, known);
  return 3 * faults <= longer ? faults : far;
}

}  // namespace

std::string meant(const std::string& word, const std::vector<KnownWord>& known) {
  const KnownWord* nearest = nullptr;
  size_t least = far;
  for (const KnownWord& one : known)
    if (const size_t now = distance(word, one.word); now < least) least = now, nearest = &one;
  if (!nearest) return "";
  return text("did you mean '", nearest->word, '\'', nearest->place.empty() ? "" : " ", nearest->place, '?');
}

std::string meant(const std::string& word, const std::vector<std::string>& known) {
  std::vector<KnownWord> here;
  for (const std::string& one : known) here.push_back({one});
  return meant(word, here);
}

}  // namespace tapir
