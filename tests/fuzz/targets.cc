#include "tests/fuzz/targets.h"

#include "tests/fuzz/fuzz.h"

namespace tapir::fuzz {

const std::vector<Target>& targets() {
  static const std::vector<Target> all = {
      {"utf8", utf8},
      {"text_file", text_file},
      {"corpus", corpus},
      {"tokens", tokens},
      {"entries", entries},
      {"tokenizer_file", tokenizer_file},
      {"gpt2", gpt2},
      {"safetensors", safetensors},
      {"manifest", manifest},
      {"metrics", metrics},
      {"config", config},
      {"assignment", assignment},
      {"run_folder", run_folder},
      {"comparison", comparison},
      {"shapes", shapes},
      {"cifar", cifar},
      {"archive", archive},
      {"image", image},
      {"description", description},
  };
  return all;
}

}  // namespace tapir::fuzz
