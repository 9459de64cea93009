// Batches made ahead by background threads: in order, and with the same bits as without.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "datasets/image/batches.h"

namespace tapir {

class ImageLoader {
 public:
  // `batch` is a function of k that several threads may call at once, such as ImageBatches::batch; what it refers to must
  // outlive the loader. `threads` = 0: batches are made when they are asked for. Error: threads outside [0, 64].
  ImageLoader(std::function<ImageBatch(int64_t)> batch, int threads);
  ~ImageLoader();   // ends the threads

  // Batch k, until the next call. The one that was asked for last is kept, for a step that takes it in parts. Threads go on with
  // those after it, at most 2 `threads` of them; another k than the next one starts anew there. Throws what making batch k
  // threw. For one thread.
  const ImageBatch& batch(int64_t k);

 private:
  struct State;
  ImageBatch make(int64_t k);

  std::unique_ptr<State> state_;
  std::optional<std::pair<int64_t, ImageBatch>> last_;   // k and its batch
};

}  // namespace tapir
