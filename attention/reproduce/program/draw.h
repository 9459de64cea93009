// The choice of the next token from its logits.
#pragma once
#include <cstdint>
#include <vector>

namespace tapir {

struct DrawOptions {
  double temperature = 0.8;   // p = softmax(logits / temperature); 0: the likeliest token always
  int64_t top_k = 0;          // of the likeliest k tokens alone; 0: of all        Fan et al. 2018
  double top_p = 1;           // of the fewest likeliest whose p sum to at least this, in [0, 1]     Holtzman et al. 2020
};

// `uniform`: a number in [0, 1). Of equally likely tokens the first ones count as the likeliest. Logits must be finite.
int32_t draw(const std::vector<double>& logits, const DrawOptions& options, double uniform);

}  // namespace tapir
