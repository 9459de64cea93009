// tapir eval
#include <fmt/core.h>

#include "attention/reproduce/commands.h"
#include "attention/reproduce/run_folder.h"

namespace tapir {

int run_eval(const std::vector<std::filesystem::path>& runs, const std::string& part) {
  fmt::print("{:<24} {:<14} {:>11} {:>9} {:>11} {:>9}  {}\n", "run", "attention", "parameters", "tokens", "perplexity",
             "nats", "weights");
  std::string signatures;
  for (const std::filesystem::path& folder : runs) {
    const std::unique_ptr<OpenRun> run = open_run(folder);
    LanguageTask& task = *run->task;
    const LanguageTask::Result result = task.evaluate(part == "test" ? task.corpus().test : task.corpus().valid);
    const std::string name = folder.has_filename() ? folder.filename().string() : folder.parent_path().filename().string();
    fmt::print("{:<24} {:<14} {:>11} {:>9} {:>11.3f} {:>9.5f}  {}\n", name, run->experiment.attention.mechanism,
               task.model().parameter_count(), result.tokens, result.perplexity(), result.nll, run->weights);
    signatures +=
        fmt::format("{}: {} part of {}, per {}, vocabulary {} ({}), context {}, {} streams, no overlap\n", name, part,
                    run->experiment.data.spec.kind, task.tokenizer().kind(), task.tokenizer().size(),
                    task.tokenizer().digest().substr(0, 12), run->experiment.model.context, run->experiment.train.batch);
  }
  fmt::print("{}", signatures);
  return 0;
}

}  // namespace tapir
