// Batches made ahead by background threads: in order, and with the same bits as without.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include "datasets/image/batches.h"

namespace tapir {

class ImageLoader {
 public:
  // `batch` is a function of k that several threads may call at once, such as ImageBatches::batch; what it refers to must
  // outlive the loader. `threads` = 0: batches are made when they are asked for. Error: threads outside [0, 64].
  ImageLoader(std::function<ImageBatch(int64_t)> batch, int threads);
  ~ImageLoader();   // ends the threads

  // Batch k. Threads go on with those after it, at most 2 `threads` of them; another k than the next one starts anew there.
  // Throws what making batch k threw. For one thread.
  ImageBatch batch(int64_t k);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tapir
