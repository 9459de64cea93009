// The certificate of a mechanism: how far it is from its oracles, which claims hold, what refutes those that it does not make,
// which mutants its tests notice, what it costs. As a page, and the counter-examples as tensors.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "attention/zoo.h"
#include "nn/files/safetensors.h"

namespace tapir {

struct Cost {
  int64_t operations = 0;   // multiplications and additions of products of matrices, forward and backward
  int64_t bytes = 0;        // the most that a pass and its backward hold beside parameters and tokens
};

// Of T tokens by themselves, counted by a dry run: width 256, 4 heads, f32, causal where the row claims it.
Cost cost_of(const Mechanism& row, const nn::Options& options, int64_t tokens);

struct Certificate {
  std::string page;                           // Markdown
  std::string line;                           // its row in the table of all
  std::vector<NamedTensor> counter_examples;  // "CLAIM; KEYS; x"
};

// Reads tests/golden/mechanisms.json and `folder`/mutants.txt.
Certificate certificate_of(const Mechanism& row, const std::filesystem::path& folder);

}  // namespace tapir
