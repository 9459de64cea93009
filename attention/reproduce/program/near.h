// What was meant by a word that nobody knows: of keys, sections, values, commands and options.
#pragma once
#include <string>
#include <vector>

namespace tapir {

struct KnownWord {
  std::string word;
  std::string place{};   // where it is known: "of [train]"; "": here
};

// "did you mean 'rate' of [schedule]?": the nearest of the known words that are near. Near is a word that begins with the
// other one, of two letters at least, and one at most a third of its letters away: replaced, added, left out or swapped
// ones. Of equally near words the first is meant. "" where none is near.
std::string meant(const std::string& word, const std::vector<KnownWord>& known);
std::string meant(const std::string& word, const std::vector<std::string>& known);

}  // namespace tapir
