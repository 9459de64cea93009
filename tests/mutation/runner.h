// Mutation testing: every mutant lives once, and something must notice.
//
// First every judgement is made without a mutant: it tells which rows evaluate the place of which mutant, and how long a row
// takes. A row that never evaluates the place cannot notice. Then each mutant gets a process of its own, in which the judgements
// are made on the rows that reach it, the quickest first, until one fails. The process may also crash or not end.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/mutation/mutate.h"

namespace tapir::mutation {

struct Row {   // of a judgement: its number, the time it takes, the mutants whose place it evaluates
  int number;
  double seconds;   // of the processor
  std::vector<int> reached;
};

struct Judgement {
  const char* name;
  std::vector<Row> rows;
  std::function<bool(int)> passes;   // whether the row of this number passes
};

// Whether doctest's cases of this filter pass, in files that fit `files`.
bool passes(const std::string& cases, const std::string& files = "");

// Of the judgement that is being made, since the last call or since the beginning of the judgement.
class Watch {
 public:
  explicit Watch(std::vector<int>& reached);
  Row row(int number);

 private:
  std::vector<int>& reached_;
  double begin_;
};

struct Counts {   // of a source
  int mutants = 0, noticed = 0, equivalent = 0;
};

// MUTANTS: the table of mutation_generate; EQUIVALENT: keys with proofs. Prints a table for each source. Returns the number of
// faults: mutants that survive and are not listed, listed ones that are noticed or do not exist. `make` makes the judgements, with
// `reached` to watch; it throws where one fails without a mutant.
int run(const char* mutants_file, const char* equivalent_file,
        const std::function<std::vector<Judgement>(std::vector<int>& reached)>& make, std::map<std::string, Counts>& counts);

}  // namespace tapir::mutation
