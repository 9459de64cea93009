// Configuration files, --set, and experiments: what is read, and what each refusal says.
#include <doctest/doctest.h>

#include <iomanip>
#include <set>
#include <sstream>

#include "attention/reproduce/program/config.h"
#include "attention/reproduce/tasks/language.h"
#include "attention/zoo.h"
#include "attention/reproduce/program/experiment.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/messages.h"

namespace tapir {
namespace {

using testing::TemporaryFolder;

struct Settings : nn::Options {
  int64_t count = 3;
  double share = 0.5;
  bool on = false;
  std::string shape = "round";
  std::string title;
  nn::Numbers factors{1, 2};

  void fields(nn::FieldVisitor& visit) override {
    visit("count", count, "", nn::between(1, 9));
    visit("share", share, "", nn::at_least(0));
    visit("on", on, "");
    visit("shape", shape, "", {"round", "square"});
    visit("title", title, "", {});
    visit("factors", factors, "", nn::between(1, 9));
  }
};

Settings settings_of(const std::string& toml) {
  Settings settings;
  read_section(toml::parse(toml), "s", settings);
  return settings;
}

std::string refusal(const std::string& toml) {
  return message_of([&] { settings_of(toml); });
}

Settings settings_after(const std::string& assignment) {
  toml::table config = toml::parse("[s]\ncount = 2");
  set_value(config, assignment);
  Settings settings;
  read_section(config, "s", settings);
  return settings;
}

Experiment experiment_of(const std::vector<std::string>& assignments) {
  const TemporaryFolder folder;
  return read_experiment(folder.write("small.toml", "[data]\nkind = \"generated\"\n"), assignments);
}

std::string experiment_refusal(const std::vector<std::string>& assignments) {
  return message_of([&] { experiment_of(assignments); });
}

}  // namespace

TEST_CASE("a section's keys are read; those it lacks keep their defaults") {
  const Settings all =
      settings_of("[s]\ncount = 7\nshare = 0.1\non = true\nshape = 'square'\ntitle = 'µ'\nfactors = [4, 2, 9]");
  CHECK(all.count == 7);
  CHECK(all.share == 0.1);
  CHECK(all.on);
  CHECK(all.shape == "square");
  CHECK(all.title == "µ");
  CHECK(all.factors == nn::Numbers{4, 2, 9});
  const Settings none = settings_of("[other]\ncount = 7");
  CHECK(none.count == 3);
  CHECK(none.shape == "round");
  CHECK(none.factors == nn::Numbers{1, 2});
}

TEST_CASE("a whole number may stand for a real one, also one that a double rounds") {
  CHECK(settings_of("[s]\nshare = 2").share == 2);
  CHECK(settings_of("[s]\nshare = 9007199254740993").share == 9007199254740992.0);
}

TEST_CASE("a refused value is named by section and key, with what is allowed") {
  CHECK(refusal("[s]\ncuont = 1") == "config: there is no key 'cuont' in [s]; hint: did you mean 'count'?");
  CHECK(refusal("s = 1") == "config: 's' must be a table, written [s]");
  CHECK(refusal("[s]\ncount = 1.5") == "config: s.count: must be a whole number in 1 … 9, found 1.5");
  CHECK(refusal("[s]\ncount = '1'") == "config: s.count: must be a whole number in 1 … 9, found '1'");
  CHECK(refusal("[s]\ncount = [1, 2]") == "config: s.count: must be a whole number in 1 … 9, found [ 1, 2 ]");
  CHECK(refusal("[s]\nshare = true") == "config: s.share: must be a number of at least 0, and finite, found true");
  CHECK(refusal("[s]\non = 1") == "config: s.on: must be true or false, found 1");
  CHECK(refusal("[s]\ntitle = \"a\\nb\"") ==
        "config: s.title: must be one line without control characters, found \"a\\x0ab\"");
  CHECK(refusal("[s]\ntitle = 3") == "config: s.title: must be a string, found 3");
  CHECK(refusal("[s]\ncount = 0") == "config: s.count: must be a whole number in 1 … 9, found 0");
  CHECK(refusal("[s]\ncount = 10") == "config: s.count: must be a whole number in 1 … 9, found 10");
  CHECK(refusal("[s]\nshare = -1") == "config: s.share: must be a number of at least 0, and finite, found -1");
  CHECK(refusal("[s]\nshare = nan") == "config: s.share: must be a number of at least 0, and finite, found nan");
  CHECK(refusal("[s]\nshape = 'sqare'") ==
        "config: s.shape: 'sqare' is none of: round, square; hint: did you mean 'square'?");
  const std::vector<std::pair<std::string, std::string>> lists{
      {"3", "3"}, {"[]", "[]"}, {"[1, 0]", "[ 1, 0 ]"}, {"[10]", "[ 10 ]"}, {"[1.0]", "[ 1.0 ]"}, {"[[1]]", "[ [ 1 ] ]"}};
  for (const auto& list : lists)
    CHECK(refusal("[s]\nfactors = " + list.first) ==
          "config: s.factors: must be a list of one or more whole numbers in 1 … 9, found " + list.second);
}

TEST_CASE("an unknown section is refused with the nearest one") {
  const toml::table config = toml::parse("[moddel]\nwidth = 1");
  CHECK(message_of([&] {
          require_sections(config, {"train", "model"});
        }) == "config: there is no section [moddel]; hint: did you mean 'model'?");
  CHECK(message_of([&] { require_sections(config, {"moddel"}); }) == "no error");
}

TEST_CASE("--set takes TOML values, and bare words as strings") {
  CHECK(settings_after("s.count=5").count == 5);
  CHECK(settings_after("s.share=1e-3").share == 1e-3);
  CHECK(settings_after("s.on=true").on);
  CHECK(settings_after("s.shape=square").shape == "square");
  CHECK(settings_after("s.shape=\"square\"").shape == "square");
  CHECK(settings_after("s.title=a = b.c").title == "a = b.c");
  CHECK(settings_after("s.title=").title == "");
  CHECK(settings_after("s.factors=[3]").factors == nn::Numbers{3});
  CHECK(settings_after("s.title=x").count == 2);
  CHECK(settings_after("s.title=3#4").title == "3#4");   // nothing of it is a comment
  CHECK(settings_after("s.title='µ'").title == "µ");
  CHECK(settings_after("s.title='µ' # ").title == "'µ' # ");
  for (const char* more : {"s.title=1\ncount=5", "s.title='x'\ncount=5", "s.title=\"\"\"x\ny\"\"\""})
    CHECK(contains_text(message_of([&] { settings_after(more); }), "must be one line without control characters, found "));
  CHECK(message_of([] { settings_after("s.count=1\ntitle=x"); }).starts_with("config: s.count: must be a whole number in "));
  toml::table config;
  set_value(config, "new.key=1");
  CHECK(config["new"]["key"].value<int64_t>() == 1);
}

TEST_CASE("--set without section, key or '=' is refused") {
  for (const std::string wrong : {"", "=", "count", "count=1", ".count=1", "s.=1", "s.count", "s=1.5"}) {
    toml::table config;
    CHECK(message_of([&] { set_value(config, wrong); }) == "--set: expected section.key=value, found '" + wrong + "'");
  }
  toml::table config;
  CHECK(message_of([&] { set_value(config, "run.name=\xFF"); }) == "--set: expected UTF-8, found \"run.name=\\xff\"");
}

TEST_CASE("--set of a key that was set is refused") {
  CHECK(experiment_refusal({"run.seed=2", "train.steps=3", "run.seed=2"}) == "--set: run.seed is given twice");
}

TEST_CASE("a file is laid over the one that it extends") {
  const TemporaryFolder folder;
  folder.write("below/base.toml", "[a]\nx = 1\ny = 1\nz = 1\n[b]\nx = 1");
  folder.write("middle.toml", "extends = \"below/base.toml\"\n[a]\ny = 2\nz = 2");
  const toml::table top = read_config(folder.write("sub/top.toml", "extends = \"../middle.toml\"\n[a]\nz = 3\n[c]\nx = 3"));
  CHECK(top == toml::parse("[a]\nx = 1\ny = 2\nz = 3\n[b]\nx = 1\n[c]\nx = 3"));
}

TEST_CASE("files that extend themselves, are missing, or are not TOML are refused by name") {
  const TemporaryFolder folder;
  const std::string root = folder.path().string();
  const auto refused = [&](const std::string& name) { return message_of([&] { read_config(folder.path() / name); }); };
  folder.write("one.toml", "extends = \"two.toml\"");
  folder.write("two.toml", "extends = \"./one.toml\"");
  CHECK(refused("one.toml") == root + "/./one.toml: extends itself");
  folder.write("self.toml", "extends = \"self.toml\"");
  CHECK(refused("self.toml") == root + "/self.toml: extends itself");
  folder.write("orphan.toml", "extends = \"gone.toml\"");
  CHECK(refused("orphan.toml") ==
        root + "/gone.toml: there is no such file; hint: experiments are in attention/reproduce/experiments/");
  CHECK(contains_text(refused("."), ": is no regular file; hint: save the experiment as a file: its name and place count"));
  folder.write("number.toml", "extends = 3");
  CHECK(refused("number.toml") == root + "/number.toml: 'extends' must be the name of a file");
  folder.write("broken.toml", "[a]\nx = 1\ny == 2\n");
  CHECK(refused("broken.toml").starts_with(root + "/broken.toml: line 3, column 4: "));
  folder.write("bytes.toml", "x = \"\xff\"");
  CHECK(refused("bytes.toml").starts_with(root + "/bytes.toml: line 1, column 5: "));
}

TEST_CASE("letters beyond ASCII stand in quotes and comments; elsewhere they are an error, and no undefined behaviour") {
  TemporaryFolder folder;
  const auto outcome = [&](const std::string& contents) {
    const std::filesystem::path file = folder.write("letters.toml", contents);
    const std::string message = message_of([&] { read_config(file); });
    return message.starts_with(file.string() + ": ") ? message.substr(file.string().size() + 2) : message;
  };
  for (const char* allowed :
       {"\xEF\xBB\xBFx = 1", "# ʌ 'ʌ\nx = 1", "x = 'ʌ'", "x = \"ʌ\\\"ʌ\" # ʌ", "\"ʌ\" = 'ʌ\\'", "['ʌ']",
        "x = \"\"\"ʌ\n\"ʌ \\\n ʌ\"\"\"\"\" # ʌ", "x = '''ʌ\n'ʌ'''\ny = 'ʌ'"})
    CHECK_MESSAGE(outcome(allowed) == "no error", allowed);
  for (const char* bare : {"ʌ = 1", "é = 1", "[ʌ]\n", "x = bär", "x = 1 ʌ", "x = [1, ʌ]", "xʌ = 1", "x = '''a'''''ʌ",
                           "x = \"\"\"\\ʌ\"\"\""})
    CHECK_MESSAGE(outcome(bare).starts_with("line 1, column "), bare);
  toml::table config;
  set_value(config, "a.name=ʌ");
  set_value(config, "a.other=ʌ = 1");
  CHECK(config == toml::parse("[a]\nname = 'ʌ'\nother = 'ʌ = 1'"));
}

TEST_CASE("every experiment of attention/reproduce reads, and no two are the same") {
  std::set<std::string> identities;
  size_t files = 0;
  for (const auto& item : std::filesystem::directory_iterator(TAPIR_SOURCE_DIR "/attention/reproduce/experiments")) {
    if (item.path().extension() != ".toml") continue;
    INFO(item.path().string());
    Experiment experiment = read_experiment(item.path(), {});
    CHECK(experiment.run.name == item.path().stem());
    identities.insert(experiment.identity());
    ++files;
  }
  CHECK(files >= 3);
  CHECK(identities.size() == files);
}

TEST_CASE("a resolved experiment reads back as the same, with every number exact") {
  const TemporaryFolder folder;
  Experiment first = experiment_of({"attention.mechanism=score_mlp", "attention.form=paper", "attention.hidden=7",
                                    "schedule.rate=0.30000000000000004", "optimiser.epsilon=1e-17", "run.name=a \"b\" 'c'",
                                    "data.kind=file", "data.path=/a b/µ\\n.txt", "train.clip=1e300"});
  CHECK(first.schedule.rate == 0.1 + 0.2);
  Experiment second = read_experiment(folder.write("again.toml", first.toml()), {});
  CHECK(second.toml() == first.toml());
  CHECK(second.identity() == first.identity());
  CHECK(second.run.name == "a \"b\" 'c'");
  CHECK(dynamic_cast<const DataOptions&>(*second.task.data).spec.path == "/a b/µ\\n.txt");
  CHECK(second.schedule.rate == first.schedule.rate);
}

TEST_CASE("a resolved experiment has no digit more than it takes, and real numbers stay real") {
  const TemporaryFolder folder;
  for (const std::string number : {"0.9", "0.1", "0.0003", "1.0", "0.30000000000000004", "12345678.9"}) {
    Experiment experiment = experiment_of({"train.clip=" + number});
    const toml::table again = toml::parse(experiment.toml());
    const toml::node& clip = *again["train"]["clip"].node();
    CHECK(clip.is_floating_point());
    CHECK(clip.as_floating_point()->get() == std::stod(number));
    CHECK(contains_text(experiment.toml(), "\nclip = " + std::string(number == "0.0003" ? "3e-04" : number) + '\n'));
  }
  for (const double huge : {0x1p63, 0x1p64, 1e22, 1e300, 1e-300, 5e-324}) {   // no whole number of TOML is as large
    std::ostringstream digits;
    digits << std::setprecision(17) << huge;
    Experiment experiment = experiment_of({"train.clip=" + digits.str() + (contains_text(digits.str(), "e") ? "" : ".0")});
    CHECK(experiment.train.clip == huge);
    CHECK(read_experiment(folder.write("again.toml", experiment.toml()), {}).train.clip == huge);
  }
}

TEST_CASE("the identity of an experiment depends on everything but its name, its device and its steps") {
  const std::string identity = experiment_of({}).identity();
  CHECK(identity.size() == 64);
  CHECK(experiment_of({"run.name=other"}).identity() == identity);
  CHECK(experiment_of({"run.device=cuda"}).identity() == identity);
  CHECK(experiment_of({"train.steps=77"}).identity() == identity);
  CHECK(experiment_of({"schedule.rate=3e-4"}).identity() == identity);
  CHECK(experiment_of({"schedule.rate=3.0000000000000003e-4"}).identity() != identity);
  CHECK(experiment_of({"run.seed=2"}).identity() != identity);
  CHECK(experiment_of({"run.precision=bf16"}).identity() != identity);
  CHECK(experiment_of({"attention.mechanism=score_mlp"}).identity() != identity);
}

TEST_CASE("an experiment that cannot be is refused") {
  const std::string unknown = experiment_refusal({"attention.mechanism=dotproduct"});
  CHECK(unknown.starts_with("config: attention.mechanism: 'dotproduct' is none of: "));
  for (const Mechanism& row : zoo()) CHECK(contains_text(unknown, row.name));
  CHECK(experiment_refusal({"attention.mechanism=score_mlp", "attention.form=papers"}) ==
        "config: attention.form: 'papers' is none of: paper, released; hint: did you mean 'paper'?");
  CHECK(experiment_refusal({"run.dtype=f16"}) ==
        "config: run.dtype: 'f16' is none of: f32, f64");
  CHECK(experiment_refusal({"run.precision=bf61"}) ==
        "config: run.precision: 'bf61' is none of: f32, tf32, bf16; hint: did you mean 'bf16'?");
  CHECK(experiment_refusal({"run.dtype=f64", "run.precision=tf32"}) ==
        "config: run.precision: products in f64 are not rounded, found 'tf32'; hint: set run.dtype to f32, or run.precision "
        "to f32");
  CHECK(experiment_refusal({"train.batch=8", "train.accumulate=3"}) ==
        "config: train.accumulate: 3 does not divide train.batch, 8");
}

}  // namespace tapir
