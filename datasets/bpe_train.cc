#include <optional>
#include <queue>
#include <utility>

#include "datasets/bpe.h"
#include "datasets/pre_tokenizer.h"
#include "datasets/utf8.h"
#include "tensor/error.h"

namespace tapir {
namespace {

using Pair = std::pair<int32_t, int32_t>;

struct PairHash {
  size_t operator()(const Pair& pair) const {
    return std::hash<uint64_t>()(static_cast<uint64_t>(pair.first) << 32 | static_cast<uint32_t>(pair.second));
  }
};

// The pieces of a text as tokens, equal pieces once, and how often each pair of neighbours occurs in the text.
class Pieces {
 public:
  explicit Pieces(std::string_view training_text) {
    const BpeTokenizer bytes(byte_entries());
    TextMap<size_t> positions;
    for_each_piece(training_text, [&](std::string_view piece) {
      const auto [known, is_new] = positions.emplace(piece, pieces_.size());
      if (is_new) pieces_.push_back({bytes.encode(piece), 0});
      ++pieces_[known->second].occurrences;
    });
    for (size_t piece = 0; piece < pieces_.size(); ++piece) add_pairs(piece);
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

  // Joins the pair to the token `joined`, from left to right, in every piece that has it.
  void merge(const Pair& pair, int32_t joined) {
    for (const size_t piece : std::exchange(pairs_[pair].pieces, {})) {
      auto& [ids, occurrences] = pieces_[piece];
      for (size_t i = 1; i < ids.size(); ++i) pairs_[{ids[i - 1], ids[i]}].occurrences -= occurrences;
      size_t kept = 0;
      for (size_t i = 0; i < ids.size(); ++i) {
        const bool joins = i + 1 < ids.size() && Pair(ids[i], ids[i + 1]) == pair;
        ids[kept++] = joins ? joined : ids[i];
        i += joins;
      }
      ids.resize(kept);
      add_pairs(piece);
    }
    queue_new_pairs();
  }

 private:
  struct Piece {
    std::vector<int32_t> ids;
    int64_t occurrences;  // in the text
  };
  struct Found {
    int64_t occurrences = 0;     // in the text
    std::vector<size_t> pieces;  // that have it, or had it once
    bool is_queued = false;
  };
  struct Queued {
    int64_t occurrences;
    Pair pair;
    bool operator<(const Queued& other) const {  // the top is the largest
      return occurrences != other.occurrences ? occurrences < other.occurrences : pair > other.pair;
    }
  };

  void add_pairs(size_t piece) {
    const auto& [ids, occurrences] = pieces_[piece];
    for (size_t i = 1; i < ids.size(); ++i) {
      const Pair pair(ids[i - 1], ids[i]);
      Found& found = pairs_[pair];
      found.occurrences += occurrences;
      if (found.is_queued) continue;
      if (found.pieces.empty()) new_pairs_.push_back(pair);
      if (found.pieces.empty() || found.pieces.back() != piece) found.pieces.push_back(piece);
    }
  }

  void queue_new_pairs() {
    for (const Pair& pair : std::exchange(new_pairs_, {})) {
      Found& found = pairs_[pair];
      queue_.push({found.occurrences, pair});
      found.is_queued = true;
    }
  }

  std::vector<Piece> pieces_;
  std::unordered_map<Pair, Found, PairHash> pairs_;
  std::priority_queue<Queued> queue_;
  std::vector<Pair> new_pairs_;  // since the last merge
};

}  // namespace

BpeTokenizer train_bpe(std::string_view training_text, int64_t size) {
  require(size >= 256 && size <= int64_t{1} << 31, "bpe",
          [&] { return text("expected a vocabulary of 256 (the bytes alone) to 2^31 entries, found ", size); });
  if (first_invalid_utf8(training_text)) return train_bpe(replace_invalid_utf8(training_text), size);
  std::vector<std::string> entries = byte_entries();
  Pieces pieces(training_text);
  while (static_cast<int64_t>(entries.size()) < size) {
    const auto pair = pieces.most_frequent();
    if (!pair) break;
    pieces.merge(*pair, static_cast<int32_t>(entries.size()));
    entries.push_back(entries[static_cast<size_t>(pair->first)] + entries[static_cast<size_t>(pair->second)]);
  }
  return BpeTokenizer(std::move(entries));
}

}  // namespace tapir
