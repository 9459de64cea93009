// A vocabulary: the types (different words or characters) of a text, numbered 0, 1, 2, … as ids.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tapir {

// Lets a map keyed by std::string be asked with a std::string_view.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
};
template <class Value>
using TextMap = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;

class Vocabulary {
 public:
  // entries[id] is the type with that id. `unknown` is the type that stands for every type that the vocabulary lacks; it
  // need not be among the entries. Error: no entries; an entry that is empty, has a NUL, or occurs twice.
  Vocabulary(std::vector<std::string> entries, std::string_view unknown);

  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  const std::vector<std::string>& entries() const { return entries_; }

  // The id of `type`, else that of the unknown type, else nothing.
  std::optional<int32_t> id(std::string_view type) const;

  // Error: id outside [0, size()).
  const std::string& entry(int32_t id) const;

 private:
  std::vector<std::string> entries_;
  TextMap<int32_t> ids_;
  std::optional<int32_t> unknown_;
};

// Counts the types of a training text.
class TypeCounter {
 public:
  struct Count {
    std::string type;
    int64_t occurrences;
  };

  void add(std::string_view type);

  const std::vector<Count>& counts() const { return counts_; }  // in order of first appearance

  // The types in order of first appearance. max_types = 0 keeps every type. Otherwise, where there are more types than
  // that, exactly max_types are kept: `unknown` (last if it never appeared), those of `always` that appeared, and the most
  // frequent others (of equally frequent ones those that appeared first). Error: max_types is neither 0 nor larger than the
  // number of types that must be kept.
  std::vector<std::string> types(std::string_view unknown, std::initializer_list<std::string_view> always,
                                 int64_t max_types) const;

 private:
  std::vector<Count> counts_;
  TextMap<size_t> positions_;  // in counts_
};

}  // namespace tapir
