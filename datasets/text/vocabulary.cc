#include "datasets/text/vocabulary.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "datasets/text/utf8.h"
#include "tensor/error.h"

namespace tapir {

Vocabulary::Vocabulary(std::vector<std::string> entries, std::string_view unknown) : entries_(std::move(entries)) {
  require(!entries_.empty(), "vocabulary", [] { return "expected at least one entry, found none"; });
  require(entries_.size() <= static_cast<size_t>(std::numeric_limits<int32_t>::max()), "vocabulary",
          [&] { return text("expected fewer than 2^31 entries, found ", entries_.size()); });
  for (size_t id = 0; id < entries_.size(); ++id) {
    const std::string& type = entries_[id];
    require(!type.empty(), "vocabulary", [&] { return text("entry ", id, " is empty"); });
    require(type.find('\0') == type.npos, "vocabulary", [&] { return text("entry ", id, " has a NUL"); });
    const auto [known, added] = ids_.emplace(type, static_cast<int32_t>(id));
    require(added, "vocabulary",
            [&, first = known->second] { return text("entries ", first, " and ", id, " are the same: ", shown(type)); });
  }
  unknown_ = id(unknown);
}

std::optional<int32_t> Vocabulary::id(std::string_view type) const {
  const auto found = ids_.find(type);
  return found != ids_.end() ? std::optional(found->second) : unknown_;
}

const std::string& Vocabulary::entry(int32_t id) const {
  require(id >= 0 && id < size(), "vocabulary", [&] { return text("expected an id in [0, ", size(), "), found ", id); });
  return entries_[static_cast<size_t>(id)];
}

void TypeCounter::add(std::string_view type) {
  const auto found = positions_.find(type);
  if (found != positions_.end()) {
    ++counts_[found->second].occurrences;
  } else {
    positions_.emplace(type, counts_.size());
    counts_.push_back({std::string(type), 1});
  }
}

std::vector<std::string> TypeCounter::types(std::string_view unknown, std::initializer_list<std::string_view> always,
                                            int64_t max_types) const {
  const int64_t must_keep = 1 + static_cast<int64_t>(always.size());
  require(max_types == 0 || max_types > must_keep, "vocabulary",
          [&] { return text("expected max_types = 0 (no limit) or at least ", must_keep + 1, ", found ", max_types); });

  const bool is_limited = max_types > 0 && static_cast<size_t>(max_types) < counts_.size();
  const bool adds_unknown = is_limited && !positions_.contains(unknown);
  std::vector<size_t> kept(counts_.size());
  std::iota(kept.begin(), kept.end(), size_t{0});
  if (is_limited) {
    const auto rank = [&](size_t position) {
      const auto& [type, occurrences] = counts_[position];
      const bool must = type == unknown || std::find(always.begin(), always.end(), type) != always.end();
      return must ? std::numeric_limits<int64_t>::max() : occurrences;
    };
    std::stable_sort(kept.begin(), kept.end(), [&](size_t a, size_t b) { return rank(a) > rank(b); });
    kept.resize(static_cast<size_t>(max_types) - adds_unknown);
    std::sort(kept.begin(), kept.end());
  }
  std::vector<std::string> types;
  for (size_t position : kept) types.push_back(counts_[position].type);
  if (adds_unknown) types.emplace_back(unknown);
  return types;
}

}  // namespace tapir
