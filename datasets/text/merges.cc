#include "datasets/text/merges.h"

#include <optional>
#include <queue>
#include <unordered_map>
#include <utility>

namespace tapir {
namespace {

using Pair = std::pair<int32_t, int32_t>;

struct PairHash {
  size_t operator()(const Pair& pair) const {
    return std::hash<uint64_t>()(static_cast<uint64_t>(pair.first) << 32 | static_cast<uint32_t>(pair.second));
  }
};

constexpr size_t none = SIZE_MAX;

// The pieces of a text, and how often each pair of neighbours occurs in the text.
class Pairs {
 public:
  explicit Pairs(const std::vector<CountedPiece>& pieces) {
    for (const CountedPiece& piece : pieces) {
      size_t left = none;
      for (const int32_t id : piece.ids) {
        const size_t at = places_.size();
        places_.push_back({id, left, none, piece.occurrences});
        if (left != none) places_[left].right = at;
        left = at;
      }
    }
    for (size_t at = 0; at < places_.size(); ++at) add_pair(at);
    queue_new_pairs();
  }

  // The pair that occurs most often, of equals the smallest; nothing where every piece is one token.
  std::optional<Pair> most_frequent() {
    while (!queue_.empty()) {
      const Queued top = queue_.top();
      const int64_t now = pairs_[top.pair].occurrences;  // a pair only becomes rarer, once the merge that made it is done
      if (now == top.occurrences) return top.pair;
      queue_.pop();
      if (now > 0) queue_.push({now, top.pair});
    }
    return std::nullopt;
  }

  // Joins the pair to the token `joined` wherever it stands, from left to right.
  void merge(const Pair& pair, int32_t joined) {
    for (const size_t at : std::exchange(pairs_[pair].places, {})) {
      Place& place = places_[at];
      if (place.id != pair.first || place.right == none || places_[place.right].id != pair.second) continue;
      const size_t right = place.right;
      for (const size_t changed : {place.left, at, right}) remove_pair(changed);
      place.id = joined;
      place.right = places_[right].right;
      places_[right].id = -1;
      if (place.right != none) places_[place.right].left = at;
      for (const size_t changed : {place.left, at}) add_pair(changed);
    }
    queue_new_pairs();
  }

 private:
  struct Place {
    int32_t id;  // −1: joined to a token further left
    size_t left, right;
    int64_t occurrences;  // of its piece in the text
  };
  struct Found {
    int64_t occurrences = 0;     // in the text
    std::vector<size_t> places;  // of its left token, now or once, from left to right
  };
  struct Queued {
    int64_t occurrences;
    Pair pair;
    bool operator<(const Queued& other) const {  // the top is the largest
      return occurrences != other.occurrences ? occurrences < other.occurrences : pair > other.pair;
    }
  };

  bool has_pair(size_t at) const { return at != none && places_[at].right != none; }
  Pair pair_at(size_t at) const { return {places_[at].id, places_[places_[at].right].id}; }

  void remove_pair(size_t at) {
    if (has_pair(at)) pairs_[pair_at(at)].occurrences -= places_[at].occurrences;
  }

  void add_pair(size_t at) {
    if (!has_pair(at)) return;
    const Pair pair = pair_at(at);
    Found& found = pairs_[pair];
    if (found.places.empty()) new_pairs_.push_back(pair);
    found.places.push_back(at);
    found.occurrences += places_[at].occurrences;
  }

  void queue_new_pairs() {
    for (const Pair& pair : std::exchange(new_pairs_, {}))
      if (const int64_t occurrences = pairs_[pair].occurrences; occurrences > 0) queue_.push({occurrences, pair});
  }

  std::vector<Place> places_;
  std::unordered_map<Pair, Found, PairHash> pairs_;
  std::priority_queue<Queued> queue_;
  std::vector<Pair> new_pairs_;  // since the last merge
};

}  // namespace

void learn_merges(std::vector<std::string>& entries, int64_t size, const std::vector<CountedPiece>& pieces,
                  const std::function<std::string(std::string_view, std::string_view)>& joined) {
  Pairs pairs(pieces);
  while (static_cast<int64_t>(entries.size()) < size) {
    const auto pair = pairs.most_frequent();
    if (!pair) break;
    pairs.merge(*pair, static_cast<int32_t>(entries.size()));
    entries.push_back(joined(entries[static_cast<size_t>(pair->first)], entries[static_cast<size_t>(pair->second)]));
  }
}

}  // namespace tapir
