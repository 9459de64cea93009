// Which classes a classifier takes for which.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace tapir {

struct Confusion {
  std::vector<std::string> classes;
  std::vector<std::vector<int64_t>> counts;   // counts[label][guess]; without classes: the task has none

  bool empty() const { return classes.empty(); }
  int64_t labelled(size_t k) const;           // examples of class k
  int64_t guessed(size_t k) const;            // examples that were taken for class k
  size_t mistaken_for(size_t k) const;        // the other class that most examples of k are taken for, the first of equals; k: none
};

}  // namespace tapir
