// The fuzz targets on their seeds and on bytes near them. Longer: ./check fuzz.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/length.h"

using namespace tapir;

namespace {

const std::filesystem::path corpora = std::filesystem::path(TAPIR_SOURCE_DIR) / "tests" / "fuzz" / "corpus";

void run(const fuzz::Target& target, const std::string& bytes, const std::filesystem::path& seed) {
  try {
    fuzz::run(target, bytes);
  } catch (const std::exception& finding) {
    FAIL_CHECK(text(target.name, ": ", finding.what(), ", near the seed ", seed.filename(), ": ", shown(bytes)));
  }
}

// A byte changed, a piece removed or doubled.
std::string changed(std::string bytes, std::mt19937& random) {
  const size_t at = random() % bytes.size(), size = std::min(bytes.size() - at, size_t{1} + random() % 8);
  switch (random() % 3) {
    case 0: bytes[at] = static_cast<char>(random()); break;
    case 1: bytes.erase(at, size); break;
    default: bytes.insert(at, bytes.substr(at, size));
  }
  return bytes;
}

}  // namespace

TEST_CASE("every parser gives a value or a proper error for its seeds, their beginnings and what is near them") {
  std::set<std::string> folders;
  for (const auto& item : std::filesystem::directory_iterator(corpora)) folders.insert(item.path().filename().string());
  for (const fuzz::Target& target : fuzz::targets()) {
    CHECK_MESSAGE(folders.erase(target.name) == 1, target.name);
    run(target, "", "none");
    std::vector<std::filesystem::path> seeds;
    for (const auto& item : std::filesystem::directory_iterator(corpora / target.name)) seeds.push_back(item.path());
    CHECK(seeds.size() >= 2);
    std::sort(seeds.begin(), seeds.end());
    for (const auto& seed : seeds) {
      const std::string bytes = read_file(seed);
      run(target, bytes, seed);
      const size_t step = std::max<size_t>(bytes.size() / static_cast<size_t>(cases(8, 200)), 1);
      for (size_t size = 1; size < bytes.size(); size += step) run(target, bytes.substr(0, size), seed);
      std::mt19937 random(1);
      for (int64_t k = 0; k < cases(10, 1000) && !bytes.empty(); ++k) run(target, changed(bytes, random), seed);
    }
  }
  CHECK(folders.empty());   // of seeds that no target reads
}
