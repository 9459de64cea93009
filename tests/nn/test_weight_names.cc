// What the heads of files say of the names of weights and buffers is what the models have.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "attention/zoo.h"
#include "nn/models/resnet.h"
#include "nn/models/vision_transformer.h"

using namespace tapir;

namespace {

constexpr nn::ImageShape image{.height = 8, .width = 8, .channels = 3};

std::string head_of(const std::string& file) {
  std::ifstream in(std::string(TAPIR_SOURCE_DIR "/nn/models/") + file);
  const std::string whole(std::istreambuf_iterator<char>(in), {});
  return whole.substr(0, whole.find("#pragma once"));
}

// The names in the lines of a head that begin with one, "stages.s.n.norm1.*", without shapes and what follows three spaces.
std::set<std::string> told(const std::string& head) {
  std::set<std::string> names;
  std::istringstream lines(head);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("//   ") || line[5] == ' ') continue;
    const std::string own = std::regex_replace(line.substr(5, line.find("   ", 5) - 5), std::regex(" \\([^)]*\\)"), "");
    const std::regex comma(", ");
    names.insert(std::sregex_token_iterator(own.begin(), own.end(), comma, -1), {});
  }
  return names;
}

// Whether a name is one of those that "stages.s.n.norm1.*" stands for: letters are numbers, and a star is one of `starred`.
bool is_of(const std::string& pattern, const std::string& name, const std::string& starred) {
  std::string form = std::regex_replace(pattern, std::regex("\\.[skn](?=\\.)"), ".[0-9]+");
  if (form.ends_with(".*")) form.replace(form.size() - 1, 1, "(" + starred + ")");
  return std::regex_match(name, std::regex(form));
}

std::set<std::string> names_of(const nn::Module& model) {
  std::set<std::string> names;
  model.each_parameter([&](const std::string& name, const nn::Parameter&) { names.insert(name); });
  model.each_buffer([&](const std::string& name, const nn::Buffer&) { names.insert(name); });
  return names;
}

// "weight|bias|running_mean|running_variance", of the sentence of resnet.h that says it.
std::string of_a_norm() {
  const std::string head = head_of("resnet.h");
  std::smatch found;
  const std::regex sentence(R"(a norm \(\.\*\) has (\w+), (\w+), and the\s+(?://\s+)?buffers (\w+) and (\w+)\.)");
  REQUIRE(std::regex_search(head, found, sentence));
  return found[1].str() + '|' + found[2].str() + '|' + found[3].str() + '|' + found[4].str();
}

// Every name is told of once, and whatever is told of is there.
void compare(const std::set<std::string>& all, const std::set<std::string>& patterns, const std::string& starred) {
  for (const std::string& name : all) {
    CAPTURE(name);
    const auto tells = [&](const std::string& pattern) { return is_of(pattern, name, starred); };
    CHECK(std::count_if(patterns.begin(), patterns.end(), tells) == 1);
  }
  for (const std::string& pattern : patterns) {
    CAPTURE(pattern);
    CHECK(std::any_of(all.begin(), all.end(), [&](const std::string& name) { return is_of(pattern, name, starred); }));
  }
}

}  // namespace

TEST_CASE("names of weights: resnet has those that its head tells of, and no others") {
  nn::ResNetOptions options;
  options.depth = 14;
  const std::set<std::string> all = names_of(nn::ResNet(options, image, 5));
  CHECK(all.contains("stages.2.1.norm2.running_variance"));
  compare(all, told(head_of("resnet.h")), of_a_norm());
}

TEST_CASE("names of weights: the vision transformer has those that its head tells of beside those of its blocks") {
  std::set<std::string> all;
  for (const char* stem : {"patch", "convolution", "residual"}) {
    nn::VisionTransformerOptions options;
    options.stem = stem;
    options.pool = "class";
    options.width = 16;
    options.layers = options.heads = 1;
    const Mechanism& row = mechanism("dot_product");
    const auto own = row.options();
    const nn::VisionTransformer model(options, image, 5, [&](const nn::MixerShape& shape) { return row.make(*own, shape); });
    for (const std::string& name : names_of(model))
      if (!name.starts_with("blocks.")) all.insert(name);
  }
  const std::string norm = of_a_norm();
  compare(all, told(head_of("vision_transformer.h")), norm + "|conv[12]\\.weight|norm[12]\\.(" + norm + ")");
}
