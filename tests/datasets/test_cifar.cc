// The layout of CIFAR: records by hand, every refusal; and, where TAPIR_DATA has them, the real sets against a separate Python
// reader (tests/golden/images.py), by SHA-256.
#include <doctest/doctest.h>

#include <algorithm>
#include <span>

#include "datasets/catalog.h"
#include "datasets/image/cifar.h"
#include "datasets/location.h"
#include "datasets/text/text_file.h"
#include "tensor/sha256.h"
#include "tests/datasets/image_helpers.h"
#include "tests/golden_file.h"
#include "tests/skipped.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

// Small sets in the layouts of the large ones.
CifarLayout small(CifarLayout layout) {
  for (auto& file : layout.train) file.records = 20;
  layout.test.records = 10;
  return layout;
}

std::string names_text(int64_t count) {
  std::string names;
  for (int64_t k = 0; k < count; ++k) names += text("class ", k, "\n");
  return names;
}

// All files of the set, by their paths under the folder that has layout.folder.
std::map<std::string, std::string> files_of(const CifarLayout& layout) {
  std::map<std::string, std::string> files;
  int64_t r = 0;
  for (const auto& file : layout.train) {
    files[layout.folder + "/" + file.name] = records(layout, r, file.records);
    r += file.records;
  }
  files[layout.folder + "/" + layout.test.name] = records(layout, r, layout.test.records);
  files[layout.folder + "/" + layout.class_names] = names_text(layout.classes) + "\n";
  if (layout.coarse_classes > 0)
    files[layout.folder + "/" + layout.coarse_class_names] = "a\r\n" + names_text(layout.coarse_classes - 1);
  return files;
}

void check_records(const Images& images, const CifarLayout& layout, int64_t first, int64_t count) {
  REQUIRE(images.size() == count);
  REQUIRE(std::tuple(images.height, images.width, images.channels) == std::tuple(layout.size, layout.size, 3));
  REQUIRE(images.pixels.size() == static_cast<size_t>(count * images.pixels_each()));
  REQUIRE(images.coarse_labels.size() == static_cast<size_t>(layout.coarse_classes > 0 ? count : 0));
  size_t at = 0, wrong = 0;
  for (int64_t r = first; r < first + count; ++r) {
    const auto i = static_cast<size_t>(r - first);
    CHECK(images.labels[i] == r % layout.classes);
    if (layout.coarse_classes > 0) CHECK(images.coarse_labels[i] == r % layout.coarse_classes);
    for (int64_t row = 0; row < layout.size; ++row)
      for (int64_t column = 0; column < layout.size; ++column)
        for (int64_t channel = 0; channel < 3; ++channel)
          wrong += images.pixels[at++] != record_pixel(r, channel, row, column);
  }
  CHECK(wrong == 0);
}

std::string digest(const std::vector<int32_t>& labels) { return sha256_hex(std::as_bytes(std::span(labels))); }
std::string digest(const std::vector<uint8_t>& pixels) { return sha256_hex(std::as_bytes(std::span(pixels))); }

// Whether the files are those that the script has read; says so where they are not.
bool recorded(const nlohmann::json& part, const std::filesystem::path& folder) {
  for (const auto& [name, sha256] : part.at("files").items()) {
    if (lacks(folder / name)) return false;
    if (sha256_hex(read_file(folder / name)) != sha256.get<std::string>()) {
      skipped((folder / name).string() + " is not the file of tests/golden/images.json");
      return false;
    }
  }
  return true;
}

void check_part(const Images& images, const nlohmann::json& part, int64_t classes, int64_t each) {
  const auto recorded_digest = [&](const char* key) { return part.at(key).get<std::string>(); };
  CHECK(digest(images.labels) == recorded_digest("labels"));
  CHECK(digest(images.pixels) == recorded_digest("pixels"));
  if (part.contains("coarse_labels")) CHECK(digest(images.coarse_labels) == recorded_digest("coarse_labels"));
  std::vector<int64_t> counts(static_cast<size_t>(classes));
  for (const int32_t label : images.labels) ++counts[static_cast<size_t>(label)];
  CHECK(counts == std::vector<int64_t>(static_cast<size_t>(classes), each));
  const ChannelStatistics statistics = channel_statistics(images);
  for (size_t c = 0; c < 3; ++c) {
    CHECK(statistics.mean[c] == doctest::Approx(part.at("mean")[c].get<double>()).epsilon(1e-12));
    CHECK(statistics.deviation[c] == doctest::Approx(part.at("deviation")[c].get<double>()).epsilon(1e-12));
  }
}

void check_published(const Images& train, std::vector<double> mean, std::vector<double> deviation) {
  const ChannelStatistics statistics = channel_statistics(train);
  for (size_t c = 0; c < 3; ++c) {
    CHECK(std::abs(statistics.mean[c] - mean[c]) < 1e-3);
    CHECK(std::abs(statistics.deviation[c] - deviation[c]) < 1e-3);
  }
}

}  // namespace

TEST_CASE("the layouts: files and sizes as published") {
  CHECK(cifar_10().train.size() == 5);
  CHECK(cifar_10().record_bytes() == 1 + 3072);
  CHECK(cifar_100().record_bytes() == 2 + 3072);
  for (const char* name : {"cifar-10", "cifar-100"}) {
    const DataSet& set = *find_data_set(name);
    const CifarLayout& layout = name == std::string("cifar-10") ? cifar_10() : cifar_100();
    std::vector<CifarLayout::File> files = layout.train;
    files.push_back(layout.test);
    for (size_t k = 0; k < files.size(); ++k) {
      CHECK(set.files[k].name == files[k].name);
      CHECK(set.files[k].bytes == files[k].records * layout.record_bytes());
    }
    CHECK(set.folder_name == layout.folder);
  }
}

TEST_CASE("records become images, channels last: from a folder and from archives alike") {
  for (const CifarLayout& layout : {small(cifar_10()), small(cifar_100())}) {
    const TemporaryFolder folder;
    std::string tar;
    for (const auto& [path, bytes] : files_of(layout)) {
      folder.write(path, bytes);
      tar += tar_member(path, bytes);
    }
    const auto archive = folder.write("set.tar", tar + tar_end());
    for (const auto& place : {folder.path() / layout.folder, archive, gzipped(archive)}) {
      const CifarParts parts = read_cifar(layout, place);
      const int64_t train = static_cast<int64_t>(layout.train.size()) * 20;
      check_records(parts.train, layout, 0, train);
      check_records(parts.test, layout, train, 10);
      CHECK(static_cast<int64_t>(parts.classes.size()) == layout.classes);
      CHECK(parts.classes[7] == "class 7");
      CHECK(static_cast<int64_t>(parts.coarse_classes.size()) == layout.coarse_classes);
      if (layout.coarse_classes > 0) CHECK(parts.coarse_classes[0] == "a");
    }
  }
}

TEST_CASE("files of the wrong size, labels out of range, missing files and bad names get one line") {
  const CifarLayout layout = small(cifar_100());
  const TemporaryFolder folder;
  const auto files = files_of(layout);
  for (const auto& [path, bytes] : files) folder.write(path, bytes);
  const auto place = folder.path() / layout.folder;
  const auto refused = [&](const std::string& name, const std::string& bytes) {
    const std::string file = (place / name).string(), path = layout.folder + "/" + name;
    folder.write(path, bytes);
    const std::string error = error_of([&] { read_cifar(layout, place); });
    folder.write(path, files.at(path));
    REQUIRE(error.starts_with(file + ": "));
    return error.substr(file.size() + 2);
  };
  const std::string& train = files.at(layout.folder + "/train.bin");
  const std::string sizes = "expected 20 records of 3074 bytes, that is 61480 bytes, found ";
  CHECK(refused("train.bin", "") == sizes + "0");
  CHECK(refused("train.bin", train.substr(1)) == sizes + "61479");
  CHECK(refused("train.bin", train + 'x') == sizes + "61481");
  const auto changed = [&](size_t at, int value) {
    std::string bytes = train;
    bytes[at] = static_cast<char>(value);
    return bytes;
  };
  CHECK(refused("train.bin", changed(2 * 3074, 20)) == "byte 6148 (record 2): expected a label in [0, 20), found 20");
  CHECK(refused("train.bin", changed(19 * 3074 + 1, 255)) == "byte 58407 (record 19): expected a label in [0, 100), found 255");
  const std::string names = names_text(100);
  CHECK(refused("fine_label_names.txt", names + "one more") ==
        "expected 100 lines with the name of a class, found 101");
  CHECK(refused("fine_label_names.txt", "") == "expected 100 lines with the name of a class, found 0");
  CHECK(refused("fine_label_names.txt", names_text(99) + "class 5") == "has the class \"class 5\" twice");
  CHECK(refused("fine_label_names.txt", names_text(99) + "\xFF") == "expected UTF-8 text");
  const std::string control = "expected names of classes without control characters, found ", hint = "; hint: rename the class";
  CHECK(refused("fine_label_names.txt", names_text(99) + "\x1B[31mred") == control + "\"\\x1b[31mred\"" + hint);
  CHECK(refused("coarse_label_names.txt", names_text(19) + "a\tb") == control + "\"a\\x09b\"" + hint);
  CHECK(refused("coarse_label_names.txt", names_text(19) + "\u009B2J") == control + "\"\\xc2\\x9b2J\"" + hint);

  CifarLayout large = layout;
  large.test.records = int64_t{1} << 40;
  CHECK(error_of([&] { read_cifar(large, place); }).starts_with("data: needs "));
  std::filesystem::remove(place / "test.bin");
  CHECK(error_of([&] { read_cifar(layout, place); }) ==
        "cifar-100-binary: " + (place / "test.bin").string() +
            " is missing; hint: the folder has not all files of the data set");
  std::string tar;
  for (const auto& [path, bytes] : files)
    if (!path.ends_with("test.bin")) tar += tar_member(path, bytes);
  const auto archive = folder.write("set.tar", tar + tar_end());
  CHECK(error_of([&] { read_cifar(layout, archive); }) ==
        archive.string() + ": has no cifar-100-binary/test.bin; hint: is it complete?");
}

TEST_CASE("CIFAR: every byte is where a separate reader finds it, from the folder and from an archive") {
  const auto golden = golden_file("images.json").at("sets");
  for (const char* name : {"cifar-10", "cifar-100"}) {
    const CifarLayout& layout = name == std::string("cifar-10") ? cifar_10() : cifar_100();
    const auto folder = find_data_set(name)->folder();
    if (!recorded(golden.at(name).at("train"), folder) || !recorded(golden.at(name).at("test"), folder)) continue;
    const TemporaryFolder made;
    const auto archive = made.path() / "set.tar.gz";
    const std::string command =
        "tar -C '" + data_root().string() + "' -cf - " + layout.folder + " | gzip -1 >'" + archive.string() + "'";
    REQUIRE(std::system(command.c_str()) == 0);
    for (const auto& place : {folder, archive}) {
      const CifarParts parts = read_cifar(layout, place);
      check_part(parts.train, golden.at(name).at("train"), layout.classes, 50'000 / layout.classes);
      check_part(parts.test, golden.at(name).at("test"), layout.classes, 10'000 / layout.classes);
      if (layout.classes == 10) {
        CHECK(parts.classes[0] == "airplane");
        check_published(parts.train, {.4914, .4822, .4465}, {.2470, .2435, .2616});
      } else {
        CHECK(parts.classes[0] == "apple");
        CHECK(parts.coarse_classes[19] == "vehicles_2");
        check_published(parts.train, {.5071, .4865, .4409}, {.2673, .2564, .2762});
      }
    }
  }
}
