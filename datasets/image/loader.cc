#include "datasets/image/loader.h"

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tensor/error.h"

namespace tapir {

struct ImageLoader::State {
  struct Result {
    ImageBatch batch;
    std::exception_ptr failure;
  };

  explicit State(std::function<ImageBatch(int64_t)> make) : make_batch(std::move(make)) {}

  ~State() {
    {
      const std::lock_guard lock(mutex);
      ends = true;
    }
    changed.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  Result made(int64_t k) const {
    try {
      return {make_batch(k), nullptr};
    } catch (...) {
      return {{}, std::current_exception()};
    }
  }

  // What a thread does: the next batch that nobody makes, as long as few are ahead.
  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return ends || next < wanted + ahead; });
      if (ends) return;
      const int64_t k = next++, from = start;
      lock.unlock();
      Result result = made(k);
      lock.lock();
      if (from == start) ready[k] = std::move(result);   // else somebody wants others now
      changed.notify_all();
    }
  }

  const std::function<ImageBatch(int64_t)> make_batch;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::thread> threads;
  std::map<int64_t, Result> ready;   // in [wanted, wanted + ahead)
  int64_t ahead = 0;                 // until somebody wants a batch
  int64_t wanted = 0, next = 0;      // threads make batches from `next` on, for somebody who wants `wanted`
  int64_t start = 0;                 // how often the row began anew
  bool ends = false;
};

ImageLoader::ImageLoader(std::function<ImageBatch(int64_t)> batch, int threads)
    : state_(std::make_unique<State>(std::move(batch))) {
  require(threads >= 0 && threads <= 64, "loader",
          [&] { return text("expected a number of threads in [0, 64], found ", threads); });
  for (int k = 0; k < threads; ++k) state_->threads.emplace_back([state = state_.get()] { state->work(); });
}

ImageLoader::~ImageLoader() = default;

const ImageBatch& ImageLoader::batch(int64_t k) {
  if (!last_ || last_->first != k) {
    last_.reset();
    last_.emplace(k, make(k));
  }
  return last_->second;
}

ImageBatch ImageLoader::make(int64_t k) {
  State& state = *state_;
  if (state.threads.empty()) return state.make_batch(k);
  std::unique_lock lock(state.mutex);
  if (k != state.wanted || state.ahead == 0) {
    state.ready.clear();
    state.wanted = state.next = k;
    state.ahead = 2 * static_cast<int64_t>(state.threads.size());
    ++state.start;
    state.changed.notify_all();
  }
  state.changed.wait(lock, [&] { return state.ready.contains(k); });
  State::Result result = std::move(state.ready.extract(k).mapped());
  state.wanted = k + 1;
  state.changed.notify_all();
  lock.unlock();
  if (result.failure) std::rethrow_exception(result.failure);
  return std::move(result.batch);
}

}  // namespace tapir
