// T5's relative position bias (Raffel et al. 2020, arXiv 1910.10683, section 2.1): a number for each head and bucket of
// distances. Half of the buckets hold one distance each, the others ranges that grow as its logarithm; the last one has all
// from 128 on.
#pragma once
#include "attention/position_bias.h"
#include "nn/layers/embedding.h"

namespace tapir {

// The bucket of a key that stands `ahead` of the query, < 0: before it. Of 32: under a causal mask what is ahead counts as 0,
// else each direction has 16.
int32_t t5_bucket(int64_t ahead, bool causal);

// Buckets are those of a causal mixer where shape.causal says that every call is. The paper shares one table among the layers
// of a model; here each layer has its own.
struct T5Bias final : PositionBias {
  explicit T5Bias(const nn::MixerShape& shape);
  Tensor forward(const Tensor& E, int64_t offset) const override;

  const bool causal;
  nn::Embedding& table;   // (32,H)
};

}  // namespace tapir
