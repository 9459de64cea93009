// tapir generate
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/run_folder.h"
#include "attention/reproduce/tasks/language.h"
#include "autograd/node.h"
#include "nn/train/finite.h"

namespace tapir {
namespace {

// Draws from softmax(logits / temperature); the likeliest token at temperature 0.
int32_t draw(const std::vector<double>& logits, double temperature, float uniform_number) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (temperature == 0) return static_cast<int32_t>(best - logits.begin());
  double total = 0;
  std::vector<double> cumulative;
  for (const double logit : logits) cumulative.push_back(total += std::exp((logit - *best) / temperature));
  const auto chosen = std::upper_bound(cumulative.begin(), cumulative.end(), uniform_number * total);
  return static_cast<int32_t>(std::min<int64_t>(chosen - cumulative.begin(), static_cast<int64_t>(logits.size()) - 1));
}

}  // namespace

int run_generate(const GenerateCommand& command) {
  const std::unique_ptr<OpenRun> run = open_run(command.run, command.device);
  const NoGrad guard;
  auto* const language = dynamic_cast<LanguageTask*>(run->task.get());
  require(language, "generate", [&] { return text(command.run.string(), " has learned the task '",
                                                  run->experiment.task.name, "', not a text"); });
  LanguageTask& task = *language;
  std::vector<int32_t> ids = task.tokenizer().encode(command.prompt, {.name = "the prompt"});
  const bool words = task.tokenizer().kind() == "word";
  if (words && !ids.empty() && !command.prompt.ends_with('\n')) {   // the tokenizer ended the line, the prompt did not
    const std::vector<int32_t> line_end = task.tokenizer().encode("\n");
    if (ids.back() == line_end.front()) ids.pop_back();
  }
  if (ids.empty()) ids = task.tokenizer().encode("\n");
  const size_t context = static_cast<size_t>(run->experiment.model.context);
  for (int64_t k = 0; k < command.tokens; ++k) {
    const std::vector<int32_t> window(ids.end() - static_cast<int64_t>(std::min(ids.size(), context)), ids.end());
    const int64_t length = static_cast<int64_t>(window.size());
    const Tensor logits = task.model().forward(Tensor::from(window, {1, length}), {});
    require_finite("generate", text("logits for token ", k + 1), logits);
    const std::vector<double> all = logits.to(DType::f64).values<double>();
    const std::vector<double> last(all.end() - task.tokenizer().size(), all.end());
    const Philox4 bits =
        random_block({.seed = command.seed, .step = 0, .site = site_of("generate")}, static_cast<uint64_t>(k));
    ids.push_back(draw(last, command.temperature, uniform(bits[0])));
  }
  fmt::print("{}\n", task.tokenizer().decode(ids));
  return 0;
}

}  // namespace tapir
