// Images: records of CIFAR, archives, PNG and JPEG files, and what a run keeps of them.
#include <zlib.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "datasets/image/archive.h"
#include "datasets/image/cifar.h"
#include "datasets/image/decode.h"
#include "datasets/image/images.h"
#include "datasets/image/resize.h"
#include "tensor/sha256.h"
#include "tests/datasets/image_helpers.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/targets.h"

namespace tapir::fuzz {
namespace {

std::string records_of(const Images& images) {   // of one pixel each
  std::string bytes;
  for (int64_t i = 0; i < images.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    bytes += static_cast<char>(images.coarse_labels[at]);
    bytes += static_cast<char>(images.labels[at]);
    for (const uint8_t value : images.image(i)) bytes += static_cast<char>(value);
  }
  return bytes;
}

// Of a PNG the checksums of its chunks, as far as it has any.
std::string with_checksums(std::string_view bytes) {
  std::string mended(bytes);
  if (!bytes.starts_with("\x89PNG\r\n\x1A\n")) return mended;
  auto* const data = reinterpret_cast<Bytef*>(mended.data());
  for (size_t at = 8; at + 12 <= mended.size();) {
    const size_t length = size_t{data[at]} << 24 | size_t{data[at + 1]} << 16 | size_t{data[at + 2]} << 8 | data[at + 3];
    if (length > mended.size() - at - 12) break;
    const auto checksum = crc32(0, data + at + 4, static_cast<uInt>(4 + length));
    for (size_t k = 0; k < 4; ++k) data[at + 8 + length + k] = static_cast<Bytef>(checksum >> (24 - 8 * k));
    at += 12 + length;
  }
  return mended;
}

std::string with_digest(std::string_view bytes) {
  nlohmann::json contents = nlohmann::json::parse(bytes, nullptr, false);
  if (!contents.is_object() || contents.erase("sha256") == 0) return std::string(bytes);
  contents["sha256"] = sha256_hex(contents.dump());
  return contents.dump();
}

}  // namespace

// The two files of class names, with zero bytes behind them, and records of 1 × 1: two for training, the others for the test.
void cifar(std::string_view bytes) {
  const auto parts = pieces(bytes, 3);
  CifarLayout layout;
  layout.folder = "set";
  layout.train = {{"train.bin", 2}};
  layout.test = {"test.bin", 1};
  layout.class_names = "fine";
  layout.coarse_class_names = "coarse";
  layout.classes = 3;
  layout.coarse_classes = 2;
  layout.size = 1;
  const std::filesystem::path place = folder() / "set";
  std::filesystem::create_directories(place);
  const size_t cut = std::min<size_t>(parts[2].size(), 10);
  write("set/fine", parts[0]);
  write("set/coarse", parts[1]);
  write("set/train.bin", parts[2].substr(0, cut));
  write("set/test.bin", parts[2].substr(cut));
  const auto set = value_of(place.string(), [&] { return read_cifar(layout, place); });
  if (!set) return;
  expect(records_of(set->train) + records_of(set->test) == parts[2], "images are their records");
  expect(set->classes.size() == 3 && set->coarse_classes.size() == 2, "every class has its name");
}

// A tar archive, compressed or not.
void archive(std::string_view bytes) {
  const std::filesystem::path file = write("archive", bytes);
  const std::map<std::string, int64_t> wanted{{"a", 1 << 20}, {"set/b", 16}};
  const auto files = value_of(file.string(), [&] { return read_archive(file, wanted); });
  if (!files) return;
  std::string again;
  for (const auto& [name, contents] : *files) {
    expect(wanted.contains(name) && static_cast<int64_t>(contents.size()) <= wanted.at(name), "only what is wanted is read");
    again += testing::tar_member(name, contents);
  }
  if (files->empty()) return;
  expect(read_archive(write("again", again + testing::tar_end()), wanted) == *files, "files are read as they were written");
}

// A PNG or JPEG file. The checksums of chunks become the right ones, which few bytes have.
void image(std::string_view bytes) {
  const auto decoded = value_of("image", [&] { return decode_image(with_checksums(bytes), "image"); });
  if (!decoded) return;
  const int64_t count = decoded->height * decoded->width;
  expect(count >= 1 && count <= most_image_pixels, "sizes are within bounds");
  expect(static_cast<int64_t>(decoded->pixels.size()) == 3 * count, "every pixel has three channels");
  const std::vector<uint8_t> square = fit_square(*decoded, 5);
  const auto [least, most] = std::minmax_element(decoded->pixels.begin(), decoded->pixels.end());
  expect(square.size() == 75 && *std::min_element(square.begin(), square.end()) >= *least &&
             *std::max_element(square.begin(), square.end()) <= *most,
         "means lie between what they are of");
}

// The description of a set. Its digest becomes the right one, which few bytes have.
void description(std::string_view bytes) {
  const std::filesystem::path file = write("description", with_digest(bytes));
  const auto loaded = value_of(file.string(), [&] { return load_description(file); });
  if (!loaded) return;
  const std::string text = description_text(*loaded);
  expect(description_text(load_description(write("description", text))) == text, "what is saved is loaded");
}

}  // namespace tapir::fuzz
