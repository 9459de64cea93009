// Sets of images: parts, limits, statistics, descriptions, where they are expected, drawn pictures; and every refusal.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>

#include "datasets/catalog.h"
#include "datasets/image/images.h"
#include "datasets/synthetic/pictures.h"
#include "datasets/text/text_file.h"
#include "tensor/sha256.h"
#include "tests/datasets/image_helpers.h"
#include "tests/skipped.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

ImageSpec spec_of(const std::string& kind, ImageSpec::Limits limits = {}) {
  ImageSpec spec;
  spec.kind = kind;
  spec.limits = limits;
  return spec;
}

std::string refused(const ImageSpec& spec) {
  return error_of([&] { read_images(spec); });
}

}  // namespace

TEST_CASE("a CIFAR-10 of 60,000 records: the last 500 training images of each class validate; limits keep the first ones") {
  const TemporaryFolder folder;
  write_cifar(cifar_10(), folder.path() / "cifar-10-batches-bin");
  const Environment data("TAPIR_DATA", folder.path().c_str());
  const ImageSet set = read_images(spec_of("cifar-10"));
  CHECK(std::tuple(set.train.size(), set.valid.size(), set.test.size()) == std::tuple(45'000, 5'000, 10'000));
  for (int64_t i = 0; i < 45'000; i += 997) CHECK(set.train.image(i)[0] == i % 251);
  for (int64_t i = 0; i < 5'000; i += 97) CHECK(set.valid.image(i)[3071] == (45'000 + i) % 251);
  for (int64_t i = 0; i < 10'000; i += 97) CHECK(set.test.image(i)[1] == (50'000 + i) % 251);
  std::map<int32_t, int> counts;
  for (const int32_t label : set.valid.labels) ++counts[label];
  for (const auto& one : counts) CHECK(one.second == 500);
  CHECK(set.description.train_sha256 == digest_of(set.train));
  double mean = 0;
  for (int64_t i = 0; i < 45'000; ++i) mean += static_cast<double>(i % 251) / 255 / 45'000;
  CHECK(set.description.statistics.mean[1] == doctest::Approx(mean).epsilon(1e-12));

  ImageSpec few = spec_of("cifar-10", {7, 3, 2});
  few.path = folder.path() / "cifar-10-batches-bin";
  const ImageSet limited = read_images(few);
  CHECK(std::tuple(limited.train.size(), limited.valid.size(), limited.test.size()) == std::tuple(7, 3, 2));
  CHECK(std::equal(limited.valid.pixels.begin(), limited.valid.pixels.end(), set.valid.pixels.begin()));
  CHECK(limited.description.statistics.mean == set.description.statistics.mean);   // of the whole training part
  CHECK(limited.description.train_sha256 == set.description.train_sha256);
}

TEST_CASE("a limited validation part has all classes, where it is the last images of each") {
  const TemporaryFolder folder;
  write_cifar(cifar_10(), folder.path());
  int64_t r = 0;
  for (const CifarLayout::File& part : cifar_10().train) {   // class after class
    std::fstream file(folder.path() / part.name, std::ios::binary | std::ios::in | std::ios::out);
    for (int64_t k = 0; k < part.records; ++k, ++r) file.seekp(k * 3073).put(static_cast<char>(r / 5000));
  }
  ImageSpec spec = spec_of("cifar-10");
  spec.path = folder.path();
  const ImageSet whole = read_images(spec);
  CHECK(std::count(whole.valid.labels.begin(), whole.valid.labels.begin() + 500, 0) == 500);
  spec.limits = {7, 23, 2};
  const ImageSet set = read_images(spec);
  CHECK(set.valid.labels == std::vector<int32_t>{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9});
  for (int64_t i : {0, 1, 2}) CHECK(std::ranges::equal(set.valid.image(i), whole.valid.image(i)));
  CHECK(std::ranges::equal(set.valid.image(22), whole.valid.image(4501)));
}

TEST_CASE("statistics are those of a plain loop") {
  Images images{3, 2, 3, {}, {0, 1, 0}, {}};
  for (int i = 0; i < 54; ++i) images.pixels.push_back(static_cast<uint8_t>(i * i * 5));
  const ChannelStatistics statistics = channel_statistics(images);
  for (size_t c = 0; c < 3; ++c) {
    double mean = 0, square = 0;
    for (size_t i = c; i < 54; i += 3) mean += images.pixels[i] / 255.0 / 18;
    for (size_t i = c; i < 54; i += 3) square += std::pow(images.pixels[i] / 255.0 - mean, 2) / 18;
    CHECK(statistics.mean[c] == doctest::Approx(mean).epsilon(1e-13));
    CHECK(statistics.deviation[c] == doctest::Approx(std::sqrt(square)).epsilon(1e-12));
  }
  CHECK(error_of([] { channel_statistics({}); }) == "data: there is no image to take statistics of");
}

TEST_CASE("a digest tells sizes, labels and pixels apart") {
  const Images images{1, 2, 3, {1, 2, 3, 4, 5, 6}, {1}, {}};
  std::string bytes;
  for (const int64_t extent : {1, 2, 3}) bytes += static_cast<char>(extent) + std::string(7, '\0');
  CHECK(digest_of(images) == sha256_hex(bytes + std::string("\1\0\0\0", 4) + "\1\2\3\4\5\6"));
  std::set<std::string> digests{digest_of(images)};
  for (int change = 0; change < 4; ++change) {
    Images other = images;
    if (change == 0) std::swap(other.height, other.width);
    if (change == 1) other.labels[0] = 2;
    if (change == 2) other.coarse_labels = {0};
    if (change == 3) other.pixels[5] = 7;
    digests.insert(digest_of(other));
  }
  CHECK(digests.size() == 5);
}

TEST_CASE("a description is loaded exactly as it was saved, and not where it was cut or edited") {
  const TemporaryFolder folder;
  const ImageDescription saved{32, 32, 3, {"a", "b\"\\", "ü"}, {"x"}, {{0.1, 1.0 / 3, 2e-300}, {1, 0.2, 0}}, sha256_hex("")};
  const std::string text = description_text(saved);
  const ImageDescription loaded = load_description(folder.write("images.json", text));
  CHECK(std::tuple(loaded.height, loaded.width, loaded.channels) == std::tuple(32, 32, 3));
  CHECK(loaded.classes == saved.classes);
  CHECK(loaded.coarse_classes == saved.coarse_classes);
  CHECK(loaded.statistics.mean == saved.statistics.mean);
  CHECK(loaded.statistics.deviation == saved.statistics.deviation);
  CHECK(loaded.train_sha256 == saved.train_sha256);
  CHECK(description_text(loaded) == text);

  const auto refused = [&](const std::string& contents) {
    const auto file = folder.write("images.json", contents);
    const std::string error = error_of([&] { load_description(file); });
    REQUIRE(error.starts_with(file.string() + ": "));
    CHECK(error.ends_with("; hint: copy the file again from the run that saved it"));
    return error.substr(file.string().size() + 2);
  };
  std::string edited = text;
  edited.replace(edited.find("\"x\""), 3, "\"y\"");
  CHECK(refused(edited).starts_with("sha256 is "));
  for (const std::string& contents : {text.substr(0, text.size() / 2), std::string("{}"), std::string("[1]"), std::string("7")})
    CHECK(refused(contents).starts_with("is no description of images: "));
}

TEST_CASE("a description that says what cannot be is refused, whatever its digest") {
  const TemporaryFolder folder;
  const ImageDescription good{32, 1024, 3, {"a", "b"}, {}, {{0, 0.5, 1}, {0.1, 0.2, 0}}, sha256_hex("")};
  const auto refused = [&](const auto& change) {
    ImageDescription other = good;
    change(other);
    const auto file = folder.write("images.json", description_text(other));
    const std::string error = error_of([&] { load_description(file); });
    REQUIRE(error.starts_with(file.string() + ": "));
    return error.substr(file.string().size() + 2);
  };
  using Description = ImageDescription;
  CHECK(load_description(folder.write("good.json", description_text(good))).width == 1024);
  const std::string sizes = "expected a height and a width in [1, 1024], found ";
  CHECK(refused([](Description& d) { d.height = 0; }) == sizes + "0 and 1024");
  CHECK(refused([](Description& d) { d.width = 1025; }) == sizes + "32 and 1025");
  CHECK(refused([](Description& d) { d.width = -1; }) == sizes + "32 and -1");
  const std::string channels = "expected 3 channels with a mean and a deviation each, found ";
  CHECK(refused([](Description& d) { d.channels = 1; }) == channels + "1, 3 and 3");
  CHECK(refused([](Description& d) { d.statistics.mean.pop_back(); }) == channels + "3, 2 and 3");
  CHECK(refused([](Description& d) { d.statistics.deviation.clear(); }) == channels + "3, 3 and 0");
  const std::string statistics = "expected means in [0, 1] and deviations of at least 0, found ";
  CHECK(refused([](Description& d) { d.statistics.mean[0] = -0.5; }) == statistics + "-0.5 and 0.1");
  CHECK(refused([](Description& d) { d.statistics.mean[2] = 1.5; }) == statistics + "1.5 and 0");
  CHECK(refused([](Description& d) { d.statistics.deviation[1] = -0.2; }) == statistics + "0.5 and -0.2");
  CHECK(refused([](Description& d) { d.statistics.deviation[1] = std::nan(""); }).starts_with("is no description of images: "));
  CHECK(refused([](Description& d) { d.classes.clear(); }) == "has no class");
  CHECK(refused([](Description& d) { d.classes[1] = ""; }) == "has a class without a name");
  CHECK(refused([](Description& d) { d.classes[1] = "a"; }) == "has the class \"a\" twice");
  const std::string control = "expected names of classes without control characters, found ";
  CHECK(refused([](Description& d) { d.classes[0] = "\x1B[2J"; }) == control + "\"\\x1b[2J\"; hint: rename the class");
  CHECK(refused([](Description& d) { d.coarse_classes = {"\n"}; }) == control + "\"\\x0a\"; hint: rename the class");
  const std::string digest = "expected a SHA-256 of the training part, found ";
  CHECK(refused([](Description& d) { d.train_sha256 = "abc"; }) == digest + "\"abc\"");
  CHECK(refused([](Description& d) { d.train_sha256[0] = 'E'; }).starts_with(digest));
}

TEST_CASE("a run's description goes before the statistics of other images, which must fit it") {
  const ImageSpec spec = spec_of("synthetic-shapes", {50, 10, 10});
  ImageDescription known = read_images(spec).description;
  known.statistics.mean[0] = 0.125;
  CHECK(read_images(spec, &known).description.statistics.mean[0] == 0.125);
  const std::string hint = "; hint: images.json of the run has their names, as the folders of images must have";
  const std::string last = known.classes.back();
  known.classes.back() = "another";
  CHECK(error_of([&] { read_images(spec, &known); }) ==
        "data: expected the classes that the model was trained on, found no \"another\"" + hint);
  known.classes.pop_back();
  CHECK(error_of([&] { read_images(spec, &known); }) ==
        "data: expected the classes that the model was trained on, found \"" + last + "\"" + hint);
  known.height = known.width = 64;
  CHECK(error_of([&] { read_images(spec, &known); }) ==
        "data.size: expected images of 64 x 64, as the model was trained on, found 32 x 32");
}

TEST_CASE("classes keep the numbers that a run knows them by, in whatever order another place has them") {
  const TemporaryFolder folder;
  const auto golden = std::filesystem::path(TAPIR_SOURCE_DIR) / "tests" / "golden" / "images";
  const std::map<std::string, const char*> files{{"cat", "grey.png"}, {"dog", "rgb.png"}, {"emu", "palette.png"}};
  for (const auto& [name, file] : files)
    for (int k = 0; k < 4; ++k) folder.write(text(name, '/', k, ".png"), read_file(golden / file));
  ImageSpec spec = spec_of("folder");
  spec.path = folder.path();
  const ImageSet own = read_images(spec);
  CHECK(own.found == 12);
  ImageDescription known = own.description;
  known.classes = {"emu", "cat", "dog"};
  known.coarse_classes = {"mammal", "bird"};   // the folder has none
  const ImageSet other = read_images(spec, &known);
  CHECK(other.description.classes == known.classes);
  for (const auto part : {&ImageSet::train, &ImageSet::valid, &ImageSet::test}) {
    CHECK((other.*part).pixels == (own.*part).pixels);
    CHECK((other.*part).coarse_labels.empty());
    REQUIRE((other.*part).size() == (own.*part).size());
    for (size_t i = 0; i < (own.*part).labels.size(); ++i)
      CHECK(known.classes[(other.*part).labels[i]] == own.description.classes[(own.*part).labels[i]]);
  }
}

TEST_CASE("coarse classes keep their numbers where both have some; where the run has none they are dropped") {
  const TemporaryFolder folder;
  write_cifar(cifar_100(), folder.path());
  ImageSpec spec = spec_of("cifar-100", {200, 200, 200});
  spec.path = folder.path();
  const ImageSet own = read_images(spec);
  ImageDescription known = own.description;
  std::reverse(known.classes.begin(), known.classes.end());
  std::reverse(known.coarse_classes.begin(), known.coarse_classes.end());
  const ImageSet other = read_images(spec, &known);
  for (size_t i = 0; i < 200; ++i) {
    CHECK(other.test.labels[i] == 99 - own.test.labels[i]);
    CHECK(other.test.coarse_labels[i] == 19 - own.test.coarse_labels[i]);
  }
  known.coarse_classes.clear();
  CHECK(read_images(spec, &known).test.coarse_labels.empty());
  known.coarse_classes = {"a"};
  CHECK(error_of([&] { read_images(spec, &known); })
            .starts_with("data: expected the classes that the model was trained on, found no \"a\"; hint: "));
}

TEST_CASE("what is at a place: files of CIFAR, an archive of the set with as many classes, or else a folder") {
  const TemporaryFolder folder;
  const std::filesystem::path archive = folder.write("any.tar.gz", ""), cat = folder.write("own/cat/1.png", "");
  folder.write("ten/test_batch.bin", "");
  folder.write("hundred/test.bin", "");
  CHECK(kind_at(folder.path() / "ten", 3) == "cifar-10");
  CHECK(kind_at(folder.path() / "hundred", 3) == "cifar-100");
  CHECK(kind_at(archive, 10) == "cifar-10");
  CHECK(kind_at(archive, 100) == "cifar-100");
  CHECK(kind_at(archive, 5) == "folder");
  CHECK(kind_at(folder.path() / "own", 10) == "folder");
  CHECK(kind_at(folder.path() / "nowhere", 10) == "folder");
}

TEST_CASE("fields of a spec that say what cannot be") {
  CHECK(refused(spec_of("mnist")) ==
        "data.kind: expected one of cifar-10, cifar-100, folder, synthetic-shapes, synthetic-textures, synthetic-triangle, "
        "found \"mnist\"");
  CHECK(refused(spec_of("wikitext-2")).starts_with("data.kind: "));
  CHECK(refused(spec_of("synthetic-shapes", {-1, 0, 0})) == "data.limits: expected limits of at least 0, found -1, 0, 0");
  CHECK(refused(spec_of("folder")) == "data.path: the kind \"folder\" needs the path of a folder");
  ImageSpec spec = spec_of("synthetic-shapes");
  spec.path = "somewhere";
  CHECK(refused(spec) == "data.path: the kind \"synthetic-shapes\" has no path");
  spec = spec_of("cifar-100");
  spec.size = 64;
  CHECK(refused(spec) == "data.size: images of cifar-100 are 32 x 32, found 64; hint: leave it at 0");
  spec = spec_of("synthetic-shapes");
  for (const int64_t size : {15, 257, -1}) {
    spec.size = size;
    CHECK(refused(spec) == text("data.size: expected 0 or a size in [16, 256], found ", size));
  }
  spec = spec_of("folder");
  spec.path = "/";
  spec.size = 1025;
  CHECK(refused(spec) == "data.size: expected 0 or a size in [1, 1024], found 1025");
}

TEST_CASE("where the sets are expected: a folder, else an archive; verified by size and digest") {
  const TemporaryFolder folder;
  const Environment data("TAPIR_DATA", folder.path().c_str());
  const DataSet& set = *find_data_set("cifar-10");
  const std::string root = folder.path().string();
  CHECK(refused(spec_of("cifar-10")) ==
        "cifar-10: " + root + "/cifar-10-batches-bin is missing, and so is " + root +
            "/cifar-10-binary.tar.gz; hint: put the official files into the former, or the archive where the latter is "
            "expected; or set TAPIR_DATA");
  CHECK_FALSE(set.is_present());
  CHECK(verify(set).size() == 7);
  folder.write("cifar-10-binary.tar.gz", "cut");
  CHECK(set.is_present());
  CHECK(refused(spec_of("cifar-10")).starts_with(root + "/cifar-10-binary.tar.gz: cannot be read as a tar archive"));
  auto checks = verify(set);
  REQUIRE(checks.size() == 1);
  CHECK(checks[0].name == "cifar-10-binary.tar.gz");
  CHECK(checks[0].status == FileStatus::different);
  CHECK(checks[0].tokens == 3);
  CHECK(checks[0].detail == "expected 170052171 bytes");
  folder.write("cifar-10-batches-bin/test_batch.bin", std::string(30'730'000, '\0'));
  CHECK_FALSE(set.is_present());
  checks = verify(set);
  REQUIRE(checks.size() == 7);
  CHECK(checks[0].status == FileStatus::missing);
  CHECK(checks[5].name == "cifar-10-batches-bin/test_batch.bin");
  CHECK(checks[5].detail.starts_with("expected SHA-256 8e2eb146"));
}

TEST_CASE("drawn pictures: every class, the same bytes for ever, parts that differ") {
  std::map<std::string, std::string> digests;
  for (const std::string& kind : picture_kinds()) {
    const std::string train = picture_records(kind, "train", 40, 32);
    CHECK(train.size() == 40u * 3073);
    const size_t classes = picture_classes(kind).size();
    for (size_t i = 0; i < 40; ++i) CHECK(static_cast<size_t>(train[i * 3073]) == i % classes);
    CHECK(picture_records(kind, "train", 15, 32) == train.substr(0, 15 * 3073));
    CHECK(picture_records(kind, "valid", 40, 32) != train);
    std::set<std::string> different;
    for (size_t i = 0; i < 40; ++i) different.insert(train.substr(i * 3073, 3073));
    CHECK(different.size() == 40);
    digests[kind] = sha256_hex(train).substr(0, 16);
  }
  CHECK(digests == std::map<std::string, std::string>{{"shapes", "81fd583691d31fdd"},
                                                     {"textures", "2b16203a0a53e55a"},
                                                     {"triangle", "c55f79944ebdecf6"}});
  CHECK(error_of([] { picture_records("circles", "train", 1, 32); }) ==
        "pictures: expected shapes, textures or triangle, found \"circles\"");
  CHECK(error_of([] { picture_records("shapes", "train", 1, 8); }) == "pictures: expected a size in [16, 256], found 8");
  CHECK(error_of([] { picture_records("shapes", "train", (int64_t{1} << 31) - 1, 256); }).starts_with("data: needs "));
  CHECK(error_of([] { picture_records("shapes", "train", -1, 16); }) ==
        "pictures: expected a number of pictures in [0, 2^31), found -1");
}

TEST_CASE("textures: stripes are constant along their direction, but for noise, and nothing else is") {
  constexpr int size = 32;
  const std::string bytes = picture_records("textures", "test", 50, size);
  for (size_t i = 0; i < 50; ++i) {
    const auto* const red = reinterpret_cast<const unsigned char*>(bytes.data() + i * 3073 + 1);
    // Of the lines that `line` numbers, in each channel, the largest spread of values.
    const auto spread = [&](const auto& line) {
      int largest = 0;
      for (int channel = 0; channel < 3; ++channel) {
        std::map<int, std::pair<int, int>> bounds;
        for (int y = 0; y < size; ++y)
          for (int x = 0; x < size; ++x) {
            const int value = red[(channel * size + y) * size + x];
            auto& one = bounds.try_emplace(line(x, y), value, value).first->second;
            one = {std::min(one.first, value), std::max(one.second, value)};
          }
        for (const auto& one : bounds) largest = std::max(largest, one.second.second - one.second.first);
      }
      return largest;
    };
    constexpr int noise = 32;
    CHECK((spread([](int, int y) { return y; }) <= noise) == (i % 5 == 0));
    CHECK((spread([](int x, int) { return x; }) <= noise) == (i % 5 == 1));
    CHECK((spread([](int x, int y) { return x + y; }) <= noise) == (i % 5 == 2));
  }
}

// The corners' distances, found again from the middles of the white points: equal in one class, seldom in the other.
TEST_CASE("triangles: three groups of white points; those called equilateral have equal sides") {
  constexpr int64_t count = 300, size = 64;
  const std::string bytes = picture_records("triangle", "test", count, size);
  int judged[2] = {}, equal[2] = {};
  for (int64_t i = 0; i < count; ++i) {
    const auto* const record = reinterpret_cast<const unsigned char*>(bytes.data() + i * (1 + 3 * size * size));
    std::vector<int> group(static_cast<size_t>(size * size), -1);   // by flooding
    struct Middle {
      double x = 0, y = 0, n = 0;
      bool at_edge = false;
    };
    std::vector<Middle> middles;
    for (int64_t start = 0; start < size * size; ++start) {
      REQUIRE((record[1 + start] == 0 || record[1 + start] == 255));
      REQUIRE(record[1 + start] == record[1 + size * size + start]);
      if (record[1 + start] == 0 || group[static_cast<size_t>(start)] >= 0) continue;
      middles.emplace_back();
      std::vector<int64_t> next{start};
      group[static_cast<size_t>(start)] = 1;
      while (!next.empty()) {
        const int64_t at = next.back(), x = at % size, y = at / size;
        next.pop_back();
        Middle& middle = middles.back();
        middle.x += static_cast<double>(x);
        middle.y += static_cast<double>(y);
        ++middle.n;
        if (x == 0 || y == 0 || x == size - 1 || y == size - 1) middle.at_edge = true;
        for (int64_t dy = -1; dy <= 1; ++dy)
          for (int64_t dx = -1; dx <= 1; ++dx) {
            const int64_t nx = x + dx, ny = y + dy, n = ny * size + nx;
            if (nx < 0 || ny < 0 || nx >= size || ny >= size) continue;
            if (record[1 + n] == 0 || group[static_cast<size_t>(n)] >= 0) continue;
            group[static_cast<size_t>(n)] = 1;
            next.push_back(n);
          }
      }
    }
    REQUIRE(middles.size() <= 3);
    if (middles.size() < 3 || std::any_of(middles.begin(), middles.end(), [](const Middle& m) { return m.at_edge; })) continue;
    std::vector<double> sides;
    for (size_t k = 0; k < 3; ++k) {
      const Middle &a = middles[k], &b = middles[(k + 1) % 3];
      sides.push_back(std::hypot(a.x / a.n - b.x / b.n, a.y / a.n - b.y / b.n));
    }
    const auto [least, most] = std::minmax_element(sides.begin(), sides.end());
    ++judged[record[0]];
    equal[record[0]] += *most - *least <= 2;   // corners are whole pixels
  }
  CHECK(judged[0] > 50);
  CHECK(judged[1] > 50);
  CHECK(equal[0] == judged[0]);
  CHECK(equal[1] < judged[1] / 5);
}
