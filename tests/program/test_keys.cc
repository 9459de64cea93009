// What `tapir config` and docs/configuration.md say of keys, and what is said of unknown ones. The keys come from the visitors.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "attention/reproduce/program/resolve.h"
#include "attention/reproduce/program/trial.h"
#include "tests/field_names.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"
#include "tests/program/variants.h"

namespace tapir {
namespace {

using namespace testing;

// Keys of each section, whatever is chosen.
std::map<std::string, std::set<std::string>> every_key() {
  std::map<std::string, std::set<std::string>> all;
  for (const std::vector<std::string>& settings : variants()) {
    toml::table config;
    set_values(config, settings);
    Experiment experiment = resolve(config);
    each_section(experiment, [&](const std::string& section, nn::Options& options) {
      FieldNames names;
      options.fields(names);
      all[section].insert(names.keys.begin(), names.keys.end());
    });
  }
  TrialOptions criterion;
  FieldNames names;
  criterion.fields(names);
  all["trial"].insert(names.keys.begin(), names.keys.end());
  return all;
}

std::string refused(const std::vector<std::string>& assignments) {
  return message_of([&] {
    toml::table config;
    set_values(config, assignments);
    resolve(config);
  });
}

std::string word_of(const std::string& message) {   // that was meant; "": none
  const std::string words = "; hint: did you mean '";
  const size_t at = message.find(words);
  if (at == std::string::npos) return "";
  return message.substr(at + words.size(), message.find('\'', at + words.size()) - at - words.size());
}

std::string line_with(const std::string& out, const std::string& words) {
  const size_t at = out.find(words);
  if (at == std::string::npos) return "";
  const size_t begin = out.rfind('\n', at) + 1;
  return out.substr(begin, out.find('\n', at) - begin);
}

}  // namespace

TEST_CASE("tapir config lists every key of every section, and the page about them says the same") {
  const std::string all = tapir("config").out, page = contents(TAPIR_SOURCE_DIR "/docs/configuration.md");
  const auto sections = every_key();
  CHECK(sections.size() == 9);
  size_t keys = 0;
  std::string together;
  for (const Section& listed : all_sections()) {
    CAPTURE(listed.name);
    REQUIRE(sections.contains(listed.name));
    const Outcome own = tapir("config " + listed.name);
    CHECK(own.status == 0);
    CHECK(own.err.empty());
    CHECK(own.out.starts_with('[' + listed.name + ']'));
    together += own.out;
    CHECK_MESSAGE(contains_text(page, "\n## " + listed.name + '\n'), "docs/configuration.md lacks the section");
    CHECK_MESSAGE(contains_text(page, "```\n" + own.out + "```\n"), "docs/configuration.md differs from: " << own.out);
    for (const std::string& key : sections.at(listed.name)) {
      CAPTURE(key);
      CHECK(contains_text(own.out, "\n    " + key + " = "));
      ++keys;
    }
  }
  CHECK(together == all);
  CHECK(keys > 80);
}

TEST_CASE("a key is shown with its default, what is allowed, and the rows that have it") {
  const std::string optimiser = tapir("config optimiser").out;
  CHECK(contains_text(optimiser, "    beta2 = 0.95                   a number in 0 … 0.999999; of adamw, muon\n"
                                 "        decay of the mean of their squares\n"));
  CHECK(contains_text(optimiser, "    beta2 = 0.99                   a number in 0 … 0.999999; of lion\n"));
  CHECK(contains_text(optimiser, "    nesterov = false               true or false; of sgd\n"));
  CHECK(tapir("config data").out.starts_with("[data]   where task.name = language or image or picture\n"));
  CHECK(contains_text(tapir("config data").out, "whole number in 0 … 1000000000; of language\n"));
  CHECK(contains_text(tapir("config run").out, "    dtype = 'f32'                  one of f32, f64\n"));
  CHECK(contains_text(tapir("config task").out, "; of nt, recall, copy, induction\n"));
  CHECK(contains_text(tapir("config schedule").out, "    floor = 0.1                    a number in 0 … 1\n"));
}

TEST_CASE("tapir config EXPERIMENT: each value, and the file and line, or --set, that it came from") {
  const TemporaryFolder folder;
  folder.write("below/base.toml", "[task]\nname = 'nt'\n[train]\nsteps = 7\nbatch = 4\n");
  const auto top = folder.write("top.toml", "extends = 'below/base.toml'\n\n[train]\nbatch = 6\n[optimiser]\nname = 'sgd'\n");
  const Outcome outcome = tapir("config " + in_quotes(top) + " --set train.clip=0.9 --set train.steps=9");
  CHECK(outcome.status == 0);
  CHECK(outcome.err.empty());
  const auto ends = [&](const std::string& key, const std::string& end) {
    const std::string line = line_with(outcome.out, "    " + key + ' ');
    CAPTURE(line);
    CHECK(line.ends_with(' ' + end));
  };
  ends("name = 'top'", "the name of the file");
  ends("name = 'nt'", folder.path().string() + "/below/base.toml:2");
  ends("batch = 6", top.string() + ":4");
  ends("name = 'sgd'", top.string() + ":6");
  ends("steps = 9", "--set");
  ends("clip = 0.9", "--set");
  ends("momentum = 0.9", "default");
  CHECK_FALSE(contains_text(outcome.out, "[data]"));
  CHECK_FALSE(contains_text(outcome.out, "beta1"));

  CHECK(refusal("config modle") == "tapir: config: 'modle' is neither a section nor a file; hint: did you mean 'model'?");
  CHECK(refusal("config nowhere") == "tapir: config: 'nowhere' is neither a section nor a file");
  CHECK(contains_text(refusal("config nowhere.toml"), "nowhere.toml: there is no such file"));
  CHECK(refusal("config train --set train.steps=3") == "tapir: --set: belongs to an experiment, which is a file");
  CHECK(contains_text(refusal("config " + in_quotes(top) + " --set train.setps=3"), "did you mean 'steps'?"));
}

TEST_CASE("a word is meant by one that begins it, or by a third of its letters at most; of equally near ones by the first") {
  const std::vector<std::string> words{"train", "task", "character", "word", "rate", "steps"};
  CHECK(meant("trian", words) == "did you mean 'train'?");      // swapped
  CHECK(meant("tran", words) == "did you mean 'train'?");       // left out
  CHECK(meant("traain", words) == "did you mean 'train'?");     // added
  CHECK(meant("truin", words) == "did you mean 'train'?");      // replaced
  CHECK(meant("char", words) == "did you mean 'character'?");   // and not 'word', which is nearer by letters
  CHECK(meant("steps_of_it", words) == "did you mean 'steps'?");
  CHECK(meant("step", words) == "did you mean 'steps'?");
  CHECK(meant("ta", words) == "did you mean 'task'?");
  for (const char* far : {"", "lr", "t", "clip", "dropout", "xxxxx"}) CHECK(meant(far, words) == "");
  CHECK(meant("x", std::vector<std::string>{}) == "");
  CHECK(meant(std::string(100'000, 'x'), words) == "");
  CHECK(meant("width", std::vector<KnownWord>{{"with"}, {"width", "of [model]"}}) == "did you mean 'width' of [model]?");
  CHECK(meant("widht", std::vector<KnownWord>{{"width"}, {"width", "of mlp"}}) == "did you mean 'width'?");
}

TEST_CASE("an unknown key: the nearest one of any section and any row, none where nothing is near") {
  CHECK(refused({"train.lr=1"}) ==
        "config: there is no key 'lr' in [train]; hint: `tapir config` lists all keys of all sections");
  CHECK(refused({"train.rate=1"}) == "config: there is no key 'rate' in [train]; hint: did you mean 'rate' of [schedule]?");
  CHECK(refused({"train.dropuot=1"}) ==
        "config: there is no key 'dropuot' in [train]; hint: did you mean 'dropout' of [model]?");
  CHECK(refused({"optimiser.name=sgd", "optimiser.beta1=0.5"}) ==
        "config: there is no key 'beta1' in [optimiser]; hint: did you mean 'beta1' of adamw, muon?");
  CHECK(refused({"attention.hidden=4"}) ==
        "config: there is no key 'hidden' in [attention]; hint: did you mean 'hidden' of score_mlp?");
  CHECK(refused({"attention.hiddne=4"}).ends_with("; hint: did you mean 'hidden' of score_mlp?"));
  CHECK(refused({"task.delay=4"}) == "config: there is no key 'delay' in [task]; hint: did you mean 'delay' of nt?");
  CHECK(refused({"data.tokens=char"}) ==
        "config: data.tokens: 'char' is none of: word, character, bpe, gpt2, wordpiece; hint: did you mean 'character'?");
  CHECK(refused({"data.tokens=sentence"}) ==
        "config: data.tokens: 'sentence' is none of: word, character, bpe, gpt2, wordpiece");
  CHECK(refused({"attention.mechanism=dotproduct"}).ends_with("; hint: did you mean 'dot_product'?"));
  CHECK(refused({"trian.steps=4"}) == "config: there is no section [trian]; hint: did you mean 'train'?");
  CHECK(refused({"steps.steps=4"}) == "config: there is no section [steps]; hint: did you mean 'steps' of [train]?");
  CHECK(refused({"engine.size=4"}) ==
        "config: there is no section [engine]; hint: `tapir config` lists all keys of all sections");
}

TEST_CASE("every key with a letter too few or two letters swapped, in every section, is answered with a key that there is") {
  const auto sections = every_key();
  std::set<std::string> known;
  for (const auto& [section, keys] : sections) known.insert(keys.begin(), keys.end());
  size_t tried = 0, same = 0;
  for (const std::string& key : known)
    for (size_t i = 0; key.size() >= 5 && i + 1 < key.size(); ++i) {
      std::string fewer = key, swapped = key;
      fewer.erase(i, 1);
      std::swap(swapped[i], swapped[i + 1]);
      for (const std::string& word : {fewer, swapped}) {
        if (known.contains(word)) continue;
        const std::string message = refused({"train." + word + "=1"});
        CAPTURE(message);
        CHECK(known.contains(word_of(message)));
        same += word_of(message) == key;
        ++tried;
      }
    }
  CHECK(tried > 300);
  CHECK(same > tried * 9 / 10);
}

TEST_CASE("an unknown command or option is answered with the nearest that may stand there") {
  CHECK(refusal("trian x.toml") ==
        "tapir: command line: there is no command or option 'trian' here; hint: did you mean 'train'?");
  CHECK(refusal("data lst").ends_with("hint: did you mean 'list'?"));
  CHECK(refusal("train x.toml --outt y").ends_with("hint: did you mean '--out'?"));
  CHECK(refusal("train x.toml --sede 3").ends_with("hint: did you mean '--seed'?"));
  CHECK(refusal("train x.toml --thread 3").ends_with("hint: did you mean '--threads'?"));
  CHECK(refusal("fly").ends_with("hint: tapir --help and tapir COMMAND --help list what there is"));
  CHECK(refusal("eval x --seed 3").ends_with("hint: tapir --help and tapir COMMAND --help list what there is"));
}

}  // namespace tapir
