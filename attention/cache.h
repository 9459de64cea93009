// Cache: what attention keeps of every token so far, such as keys and values, to go on token by token.
#pragma once
#include <map>
#include <string>

#include "nn/token_mixer.h"

namespace tapir {

class Cache final : public nn::MixerState {
 public:
  // Writes rows (B,G,T,D) at tokens begin … begin + T − 1, over what stood there, and returns tokens 0 … begin + T − 1: a view,
  // which the next call may write into. Constants. Throws Error if tokens before `begin` are missing.
  Tensor append(const std::string& name, const Tensor& rows, int64_t begin);

  Cache sample(int64_t b, int64_t tokens);   // sample b alone: shares memory with this one, up to so many tokens

  std::unique_ptr<MixerState> copy() const override;
  void reorder(const std::vector<int64_t>& rows) override;

 private:
  std::map<std::string, Tensor> kept_;   // (B,G,capacity,D)
};

}  // namespace tapir
