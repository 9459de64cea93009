// What tasks of tokens share: a model that gives the next token of each, and its loss.
#pragma once
#include "attention/reproduce/tasks/task.h"
#include "datasets/text/batches.h"

namespace tapir {

class TokenTask : public Task {
 public:
  Tensor logits(const TokenBatch& batch, const nn::Call& call = {}) const;   // (rows,columns,V)

 protected:
  using Task::Task;

  Batch tokens_of(int64_t length) const;   // a sequence of zeros
  int64_t context() const;   // most tokens that the model takes; throws Error, in the task's name, where it takes none

  // Part `part` of `parts` of the batch; the loss is summed over counted targets.
  LossSum loss(const TokenBatch& batch, int64_t part, int64_t parts, const nn::Call& call) const;
  LossSum loss(const TokenBatch& batch) const { return loss(batch, 0, 1, {}); }
};

}  // namespace tapir
