// PNG and JPEG files against what Pillow reads (tests/golden/images.py), folders of them, and every refusal.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "datasets/image/decode.h"
#include "datasets/image/folder.h"
#include "datasets/image/images.h"
#include "datasets/image/resize.h"
#include "datasets/text/text_file.h"
#include "tests/datasets/image_helpers.h"
#include "tests/golden_file.h"

using namespace tapir;
using namespace tapir::testing;

namespace {

namespace fs = std::filesystem;

const fs::path& golden_images() {
  static const fs::path folder = fs::path(TAPIR_SOURCE_DIR) / "tests" / "golden" / "images";
  return folder;
}

std::string refused(std::string_view bytes) {
  const std::string error = error_of([&] { decode_image(bytes, "file"); });
  REQUIRE(error.starts_with("file: "));
  CHECK(error.find('\n') == error.npos);
  return error.substr(6);
}

// A PNG of one chunk: a header that claims these sizes.
std::string png_header(uint32_t width, uint32_t height, char bits) {
  std::string bytes("\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR", 16);
  for (const uint32_t extent : {width, height})
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(extent >> shift);
  return bytes + bits + std::string("\2\0\0\0CRC.", 8);
}

}  // namespace

TEST_CASE("PNG files give the bytes that Pillow reads, JPEG files the same within the rounding of decoders") {
  const nlohmann::json golden = golden_file("images.json");
  CHECK(golden.at("files").size() == 9);
  for (const auto& [key, entry] : golden.at("files").items()) {
    const std::string name = key;
    CAPTURE(name);
    const DecodedImage image = decode_image(read_file(golden_images() / name), name);
    CHECK(image.height == entry.at("shape")[0]);
    CHECK(image.width == entry.at("shape")[1]);
    const auto expected = entry.at("pixels").get<std::vector<uint8_t>>();
    REQUIRE(image.pixels.size() == expected.size());
    int largest = 0;
    double sum = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const int difference = std::abs(image.pixels[i] - expected[i]);
      largest = std::max(largest, difference);
      sum += difference;
    }
    if (name.ends_with(".png")) CHECK(largest == 0);
    // Decoders may round the cosine transform and colours in ways of their own, and interpolate halved colours otherwise.
    CHECK(largest <= (name == "halved.jpg" ? 12 : 3));
    CHECK(sum / static_cast<double>(expected.size()) < 1);
  }
}

TEST_CASE("what is no image, or not one of 8 bits in RGB or grey, or too large, or cut, gets one line") {
  CHECK(refused("") == "expected a PNG or JPEG image");
  CHECK(refused("GIF89a and so on") == "expected a PNG or JPEG image");
  CHECK(refused(read_file(golden_images() / "sixteen.png")) == "expected 8 bits a channel, found 16; hint: convert the image");
  CHECK(refused(read_file(golden_images() / "cmyk.jpg")) == "expected grey or RGB, found CMYK; hint: convert the image");
  CHECK(refused(png_header(2049, 2048, 8)) ==
        "expected at most 4194304 pixels, found 2049 x 2048; hint: scale the image down");
  CHECK(refused(png_header(1 << 30, 1, 8)).starts_with("cannot be decoded: "));
  CHECK(refused(png_header(0xFFFFFFFF, 0xFFFFFFFF, 8)).starts_with("cannot be decoded: "));
  CHECK(refused(png_header(0, 5, 8)).starts_with("cannot be decoded: "));
  for (const char* name : {"rgb.png", "palette.png", "transparent.png"}) {
    const std::string bytes = read_file(golden_images() / name);
    for (size_t size = 8; size < bytes.size() - 12; ++size)   // 12: the chunk that ends a PNG
      CHECK(refused(bytes.substr(0, size)).starts_with("cannot be decoded: "));
  }
  for (const char* name : {"rgb.jpg", "halved.jpg", "progressive.jpg", "grey.jpg"}) {
    const std::string bytes = read_file(golden_images() / name);
    for (size_t size = 3; size < bytes.size(); ++size)
      CHECK(refused(bytes.substr(0, size)) == "has no end-of-image marker; hint: is it complete?");
  }
}

TEST_CASE("files that would take much memory, or have tables that do not fit, get one line") {
  CHECK(refused(read_file(golden_images() / "bomb.png")) == "cannot be decoded: Out of memory");
  std::string bytes = read_file(golden_images() / "rgb.jpg");
  const size_t table = bytes.find("\xFF\xC4") + 4;   // its class and number, then how many codes of 1 … 16 bits
  std::string many = bytes, behind = bytes;
  for (size_t bits = 1; bits <= 16; ++bits) many[table + bits] = static_cast<char>(255);
  const std::string expected = text("byte ", table, ": expected a Huffman table of at most 255 codes within its segment");
  CHECK(refused(many) == expected + ", found 4080");
  behind[table + 16] = static_cast<char>(200);
  CHECK(refused(behind).starts_with(expected));
}

TEST_CASE("the middle square of an image is resized") {
  DecodedImage wide{2, 6, {}};
  for (int row = 0; row < 2; ++row)
    for (int column = 0; column < 6; ++column)
      for (int channel = 0; channel < 3; ++channel)
        wide.pixels.push_back(static_cast<uint8_t>(40 * column + 10 * row + channel));
  CHECK(fit_square(wide, 2) == std::vector<uint8_t>{80, 81, 82, 120, 121, 122, 90, 91, 92, 130, 131, 132});
  CHECK(fit_square(wide, 1) == std::vector<uint8_t>{105, 106, 107});
}

TEST_CASE("a folder of images by class: classes by name, the first file of every class before the second ones") {
  const TemporaryFolder folder;
  const auto put = [&](const std::string& place, const char* image) {
    folder.write(place, read_file(golden_images() / image));
  };
  put("set/cat/a.png", "rgb.png");
  put("set/cat/b.JPG", "rgb.jpg");
  put("set/cat/c.png", "grey.png");
  put("set/ant/z.jpeg", "grey.jpg");
  put("set/ant/zz.png", "palette.png");
  folder.write("set/.hidden", "");
  folder.write("set/cat/.hidden", "");
  const auto place = folder.path() / "set";
  const std::vector<std::string> classes = class_folders(place);
  CHECK(classes == std::vector<std::string>{"ant", "cat"});
  const Images images = read_image_folder(place, classes, 20);
  CHECK(images.labels == std::vector<int32_t>{0, 1, 0, 1, 1});
  const char* const order[] = {"grey.jpg", "rgb.png", "palette.png", "rgb.jpg", "grey.png"};
  for (size_t i = 0; i < 5; ++i) {
    const auto pixels = images.image(static_cast<int64_t>(i));
    CHECK(std::vector<uint8_t>(pixels.begin(), pixels.end()) ==
          fit_square(decode_image(read_file(golden_images() / order[i]), ""), 20));
  }

  // The last tenth of each class is the test, of the others validation.
  put("set/ant/zzz.png", "rgb.png");
  ImageSpec spec;
  spec.kind = "folder";
  spec.path = place;
  const ImageSet cut = read_images(spec);
  CHECK(std::tuple(cut.train.size(), cut.valid.size(), cut.test.size()) == std::tuple(2, 2, 2));
  CHECK(cut.train.height == 32);
  CHECK(cut.description.classes == classes);
  spec.path = folder.path();   // a folder of parts
  fs::rename(place, folder.path() / "train");
  CHECK(error_of([&] { read_images(spec); }).starts_with((folder.path() / "test").string() + ": cannot be read: "));
  put("test/ant/1.png", "rgb.png");
  CHECK(error_of([&] { read_images(spec); }) ==
        (folder.path() / "test").string() + ": expected the classes of the training part, found no \"cat\"");
  put("test/cat/1.png", "rgb.png");
  const ImageSet parts = read_images(spec);
  CHECK(std::tuple(parts.train.size(), parts.valid.size(), parts.test.size()) == std::tuple(4, 2, 2));
  put("valid/ant/1.png", "rgb.png");
  put("valid/cat/1.png", "rgb.png");
  CHECK(read_images(spec).train.size() == 6);
  put("valid/dog/1.png", "rgb.png");
  CHECK(error_of([&] { read_images(spec); }) ==
        (folder.path() / "valid").string() + ": expected the classes of the training part, found \"dog\"");
}

TEST_CASE("classes of unequal size give their last tenth, rounded up, to the test, then to validation") {
  const TemporaryFolder folder;
  const auto put = [&](const std::string& name, int count) {
    for (int k = 0; k < count; ++k)
      folder.write(text(name, "/", k + 10, ".png"), read_file(golden_images() / (k % 2 ? "rgb.png" : "grey.png")));
  };
  put("ant", 3);
  put("cat", 12);
  ImageSpec spec;
  spec.kind = "folder";
  spec.path = folder.path();
  const ImageSet set = read_images(spec);
  CHECK(set.train.labels == std::vector<int32_t>{0, 1, 1, 1, 1, 1, 1, 1, 1, 1});   // of cat 0 … 8
  CHECK(set.valid.labels == std::vector<int32_t>{0, 1});                            // 1 of ant, 9 of cat
  CHECK(set.test.labels == std::vector<int32_t>{0, 1, 1});                          // 2 of ant, 10 and 11 of cat
  const auto is_grey = [](const Images& images, int64_t i) { return images.image(i)[0] == images.image(i)[1]; };
  CHECK(std::tuple(is_grey(set.valid, 0), is_grey(set.valid, 1)) == std::tuple(false, false));
  CHECK(std::tuple(is_grey(set.test, 0), is_grey(set.test, 1), is_grey(set.test, 2)) == std::tuple(true, true, false));
  put("bee", 2);
  CHECK(error_of([&] { read_images(spec); }) ==
        "data: expected at least 2 images of each class, of which one is for validation, found 1 of \"bee\"");
}

TEST_CASE("folders that have other things than images by class") {
  const TemporaryFolder folder;
  const auto refused_by = [&](const fs::path& place) {
    const fs::path set = folder.path() / "set";
    const std::string error = error_of([&] { read_image_folder(set, class_folders(set), 8); });
    REQUIRE(error.starts_with((folder.path() / place).string() + ": "));
    return error.substr((folder.path() / place).string().size() + 2);
  };
  CHECK(refused_by("set").starts_with("cannot be read: "));
  fs::create_directories(folder.path() / "set");
  CHECK(refused_by("set") == "expected a folder for each class, found an empty folder");
  fs::create_directories(folder.path() / "set" / "ant");
  CHECK(refused_by("set/ant") == "expected PNG or JPEG files, found an empty folder");
  folder.write("set/ant/list.txt", "");
  CHECK(refused_by("set/ant/list.txt") == "expected files .png, .jpg or .jpeg in the folder of a class");
  fs::rename(folder.path() / "set/ant/list.txt", folder.path() / "set/ant/list.png");
  CHECK(refused_by("set/ant/list.png") == "expected a PNG or JPEG image");
  folder.write("set/readme", "");
  CHECK(refused_by("set/readme") == "expected a folder for each class, found a file");
  fs::remove(folder.path() / "set/readme");
  fs::create_directories(folder.path() / "set" / "\xFF");
  CHECK(refused_by("set").starts_with("expected names in UTF-8, found "));
}
