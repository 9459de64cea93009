// PNG and JPEG files against what Pillow reads (tests/golden/images.py), folders of them, and every refusal.
#include <doctest/doctest.h>
#include <zlib.h>

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
using namespace std::string_literals;

namespace {

namespace fs = std::filesystem;

std::string refused(std::string_view bytes) {
  const std::string error = error_of([&] { decode_image(bytes, "file"); });
  REQUIRE(error.starts_with("file: "));
  CHECK(error.find('\n') == error.npos);
  return error.substr(6);
}

std::string image_file(const std::string& name) {
  return read_file(fs::path(TAPIR_SOURCE_DIR) / "tests" / "golden" / "images" / name);
}

std::string four_bytes(size_t number) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(number >> shift);
  return bytes;
}

std::string chunk(const std::string& type, const std::string& data) {
  const std::string named = type + data;
  return four_bytes(data.size()) + named +
         four_bytes(crc32(0, reinterpret_cast<const Bytef*>(named.data()), static_cast<uInt>(named.size())));
}

// Of RGB by default; `pixels` as rows with their filters.
struct Png {
  size_t width = 1, height = 1;
  char bits = 8, type = 2, interlace = 0;

  std::string start() const {
    return "\x89PNG\r\n\x1A\n" +
           chunk("IHDR", four_bytes(width) + four_bytes(height) + std::string{bits, type, 0, 0, interlace});
  }
  std::string of(const std::string& data) const { return start() + chunk("IDAT", data) + chunk("IEND", ""); }
};

std::string deflated(const std::string& bytes) {
  uLongf size = compressBound(bytes.size());
  std::string result(size, '\0');
  compress2(reinterpret_cast<Bytef*>(result.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size(), 9);
  return result.substr(0, size);
}

// Bytes of the rows of an interlaced image: passes as the standard draws them, for the eight by eight places of a tile.
size_t interlaced_bytes(size_t width, size_t height, size_t bits) {
  static const char* const passes[] = {"16462646", "77777777", "56565656", "77777777",
                                       "36463646", "77777777", "56565656", "77777777"};
  size_t bytes = 0;
  for (char pass = '1'; pass <= '7'; ++pass)
    for (size_t row = 0; row < height; ++row) {
      size_t pixels = 0;
      for (size_t column = 0; column < width; ++column) pixels += passes[row % 8][column % 8] == pass;
      if (pixels > 0) bytes += 1 + (pixels * bits + 7) / 8;
    }
  return bytes;
}

// A marker's segment, with its length.
std::string segment(char marker, const std::string& bytes) {
  return std::string{'\xFF', marker} + four_bytes(bytes.size() + 2).substr(2) + bytes;
}

// A grey JPEG of 8 × 16 whose scan is `codes`, with a restart behind the first of its two blocks if it is not 0.
std::string two_blocks(const std::string& codes, char restart) {
  std::string bytes = image_file("grey.jpg");
  bytes.replace(bytes.find("\xFF\xC0") + 5, 4, std::string("\0\x10\0\x08", 4));
  const size_t scan = bytes.find("\xFF\xDA");
  return bytes.substr(0, scan) + segment('\xDD', {'\0', restart}) + bytes.substr(scan, 10) + codes + "\xFF\xD9";
}

// Number k of the scans of a JPEG: where its segment begins, where its codes do, and where they end.
struct Scan {
  size_t begin, codes, end;
};
std::vector<Scan> scans_of(const std::string& bytes) {
  std::vector<Scan> scans;
  for (size_t at = bytes.find("\xFF\xDA"); at != bytes.npos; at = bytes.find("\xFF\xDA", at + 1)) {
    const size_t codes = at + 2 + static_cast<unsigned char>(bytes[at + 3]);
    size_t end = codes;
    while (bytes[end] != '\xFF' || bytes[end + 1] == '\0') ++end;
    scans.push_back({at, codes, end});
  }
  return scans;
}

// APP1 with the orientation in the second entry of its directory.
std::string exif(bool is_little, size_t orientation, size_t type = 3, size_t entries = 2) {
  const auto number = [&](size_t value, size_t bytes) {
    std::string written = four_bytes(value).substr(4 - bytes);
    if (is_little) std::reverse(written.begin(), written.end());
    return written;
  };
  const auto entry = [&](size_t tag, size_t kind, const std::string& value) {
    return number(tag, 2) + number(kind, 2) + number(1, 4) + value;
  };
  const std::string directory = number(entries, 2) + entry(0x0100, 4, number(27, 4)) +
                                entry(0x0112, type, number(orientation, 2) + "\0\0"s) + "\0\0\0\0"s;
  return segment('\xE1', "Exif\0\0"s + (is_little ? "II" : "MM") + number(42, 2) + number(8, 4) + directory);
}

}  // namespace

TEST_CASE("PNG files give the bytes that Pillow reads, JPEG files the same within the rounding of decoders") {
  const nlohmann::json golden = golden_file("images.json");
  CHECK(golden.at("files").size() == 9);
  for (const auto& [key, entry] : golden.at("files").items()) {
    const std::string name = key;
    CAPTURE(name);
    const DecodedImage image = decode_image(image_file(name), name);
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
  CHECK(refused(image_file("sixteen.png")) == "expected 8 bits a channel, found 16; hint: convert the image");
  CHECK(refused(image_file("cmyk.jpg")) == "expected grey or RGB, found CMYK; hint: convert the image");
  CHECK(refused(Png{8193, 8192}.start()) ==
        "expected at most 67108864 pixels, found 8193 x 8192; hint: scale the image down");
  CHECK(refused(Png{1 << 30, 1}.start()).starts_with("cannot be decoded: "));
  CHECK(refused(Png{0xFFFFFFFF, 0xFFFFFFFF}.start()).starts_with("cannot be decoded: "));
  CHECK(refused(Png{0, 5}.start()).starts_with("cannot be decoded: "));
  for (const char* name : {"rgb.png", "palette.png", "transparent.png"}) {
    const std::string bytes = image_file(name);
    for (size_t size = 8; size < bytes.size(); ++size) {
      const std::string error = refused(bytes.substr(0, size));
      CHECK((error.starts_with("cannot be decoded: ") || error.ends_with("; hint: is it complete?")));
    }
  }
  for (const char* name : {"rgb.jpg", "halved.jpg", "progressive.jpg", "grey.jpg"}) {
    const std::string bytes = image_file(name);
    for (size_t size = 3; size < bytes.size(); ++size)
      CHECK(refused(bytes.substr(0, size)) == "has no end-of-image marker; hint: is it complete?");
  }
}

TEST_CASE("files that would take much memory, or have tables that do not fit, get one line") {
  CHECK(refused(image_file("bomb.png")) == "its pixels inflate to more than 4 bytes; hint: is it a zip bomb?");
  std::string bytes = image_file("rgb.jpg");
  const size_t table = bytes.find("\xFF\xC4") + 4;   // its class and number, then how many codes of 1 … 16 bits
  std::string many = bytes, behind = bytes;
  for (size_t bits = 1; bits <= 16; ++bits) many[table + bits] = static_cast<char>(255);
  const std::string expected = text("byte ", table, ": expected a Huffman table of at most 255 codes within its segment");
  CHECK(refused(many) == expected + ", found 4080");
  behind[table + 16] = static_cast<char>(200);
  CHECK(refused(behind).starts_with(expected));
}

TEST_CASE("a PNG of which any byte is another is refused: its checksums say so") {
  for (const char* name : {"rgb.png", "palette.png", "transparent.png", "bits.png", "grey.png"}) {
    const std::string bytes = image_file(name);
    for (size_t at = 0; at < bytes.size(); ++at) {
      std::string flipped = bytes;
      flipped[at] = static_cast<char>(flipped[at] ^ 16);
      refused(flipped);
    }
  }
  std::string flipped = image_file("rgb.png");
  flipped[flipped.find("IDAT") + 50] ^= 1;
  CHECK(refused(flipped) == text("byte ", flipped.find("IDAT") - 4,
                                 ": the chunk \"IDAT\" has another checksum than its bytes; hint: copy the file again"));
  const std::string pixels = deflated("\0abc\0def"s), whole = Png{1, 2}.of(pixels);
  CHECK(decode_image(whole, "").pixels == std::vector<uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'});
  std::string other = pixels;   // with checksums of chunks that are right
  other.back() ^= 1;
  CHECK(refused(Png{1, 2}.of(other)) == "its pixels are damaged: incorrect data check; hint: copy the file again");
  CHECK(refused(Png{1, 2}.of("text")).starts_with("its pixels are damaged: "));
  CHECK(refused(Png{1, 3}.of(pixels)) ==
        "its pixels are cut: expected 12 bytes with their checksum, found 8; hint: is it complete?");
  CHECK(refused(Png{1, 2}.of(pixels.substr(0, pixels.size() - 1))) ==
        "its pixels are cut: expected 8 bytes with their checksum, found 8; hint: is it complete?");
  CHECK(refused(Png{1, 1}.of(pixels)) == "its pixels inflate to more than 4 bytes; hint: is it a zip bomb?");
  CHECK(refused(whole.substr(0, whole.size() - 12)) == "has no chunk IEND; hint: is it complete?");
  CHECK(refused(whole.substr(0, whole.size() - 1)) ==
        text("byte ", whole.size() - 12, ": the chunk ends behind the file; hint: is it complete?"));
  CHECK(refused("\x89PNG\r\n\x1A\n" + chunk("tEXt", "") + whole.substr(8)).starts_with("cannot be decoded: "));
  const std::string parts = Png{1, 2}.start() + chunk("IDAT", pixels.substr(0, 3)) + chunk("IDAT", "") +
                            chunk("IDAT", pixels.substr(3)) + chunk("IEND", "");
  CHECK(decode_image(parts, "").pixels == decode_image(whole, "").pixels);
}

TEST_CASE("interlaced PNG files have the bytes of their seven passes") {
  for (size_t height = 1; height <= 9; ++height)
    for (size_t width = 1; width <= 9; ++width)
      for (const auto& [type, channels] : std::map<char, size_t>{{0, 1}, {2, 3}, {6, 4}}) {
        const size_t bytes = interlaced_bytes(width, height, 8 * channels);
        const Png png{width, height, 8, type, 1};
        CHECK(decode_image(png.of(deflated(std::string(bytes, '\0'))), "").pixels ==
              std::vector<uint8_t>(3 * width * height));
        CHECK(refused(png.of(deflated(std::string(bytes - 1, '\0')))).starts_with("its pixels are cut: "));
      }
  const DecodedImage large =
      decode_image(Png{2049, 2048, 8, 6, 1}.of(deflated(std::string(interlaced_bytes(2049, 2048, 32), '\0'))), "");
  CHECK(std::tuple(large.width, large.height) == std::tuple(2049, 2048));
}

TEST_CASE("a JPEG whose scans end early, go on behind their last block, or are not all there is refused") {
  const std::string ends_early = ": the codes of a scan end before its last block; hint: is it complete?";
  for (const char* name : {"rgb.jpg", "halved.jpg", "progressive.jpg", "grey.jpg"}) {
    const std::string bytes = image_file(name);
    const std::vector<Scan> scans = scans_of(bytes);
    CHECK(scans.size() == (name == std::string("progressive.jpg") ? 10 : 1));
    for (size_t size = scans[0].begin; size + 2 < bytes.size(); ++size) refused(bytes.substr(0, size) + "\xFF\xD9");
    for (const Scan& scan : scans) {
      for (size_t size = scan.codes; size < scan.end; ++size)
        if (bytes[size - 1] != '\xFF' && bytes[size] != '\xFF')
          CHECK(refused(bytes.substr(0, size) + bytes.substr(scan.end)) == text("byte ", size, ends_early));
      std::string zeros = bytes;
      std::fill(zeros.begin() + static_cast<std::ptrdiff_t>(scan.codes), zeros.begin() + static_cast<std::ptrdiff_t>(scan.end),
                '\0');
      if (scans.size() == 1) refused(zeros);   // in a scan of one bit for each block nothing shows it
      CHECK(refused(bytes.substr(0, scan.end) + "abc" + bytes.substr(scan.end)) ==
            text("byte ", scan.end + 3, ": the codes of a scan go on behind its last block; hint: is it damaged?"));
      const std::string without = refused(bytes.substr(0, scan.begin) + bytes.substr(scan.end));
      CHECK((without.starts_with("has no scan, or not every scan, of the component ") ||
             without.ends_with(": the scan before this one is missing; hint: is it complete?")));
    }
  }
  const std::string progressive = image_file("progressive.jpg");
  CHECK(refused(progressive.substr(0, scans_of(progressive)[0].end) + "\xFF\xD9") ==
        "has no scan, or not every scan, of the component 1; hint: is it complete?");
}

TEST_CASE("restarts of a JPEG, and codes and tables that are none, by hand") {
  // 00: a first coefficient of no bits; 1010: the end of a block.
  const std::string block = "\x2B";   // 00 1010 and what fills the byte
  const DecodedImage grey = decode_image(two_blocks(block + "\xFF\xD0" + block, 1), "");
  CHECK(std::tuple(grey.height, grey.width) == std::tuple(16, 8));
  CHECK(grey.pixels == std::vector<uint8_t>(16 * 8 * 3, 128));
  const std::string two = "\x28\xAF";   // 00 1010 00 1010 and what fills the byte
  CHECK(decode_image(two_blocks(two, 0), "").pixels == grey.pixels);
  CHECK(decode_image(two_blocks(two + "\xFF", 0), "").pixels == grey.pixels);   // a fill byte
  CHECK(refused(two_blocks(two, 1)).ends_with(": the codes of a scan go on behind its last block; hint: is it damaged?"));
  for (const char* codes : {"\x2B", "\x2B\xFF\xD0", "", "\x28"})
    CHECK(refused(two_blocks(codes, 1)).ends_with(": the codes of a scan end before its last block; hint: is it complete?"));
  CHECK(refused(two_blocks(block + "\xFF\xD0" + block, 0))
            .ends_with(": the codes of a scan end before its last block; hint: is it complete?"));
  CHECK(refused(two_blocks("\xFF\0\xFF\0"s, 0)).ends_with(": these bits are no code of their table; hint: is it damaged?"));
  // 00, then four times 11111111001: 16 zeros.
  CHECK(refused(two_blocks("\x3F\xCF\xF9\xFF\0\x3F\xE7"s, 0))
            .ends_with(": a block has more coefficients than its scan; hint: is it damaged?"));

  std::string bytes = image_file("grey.jpg");
  const size_t frame = bytes.find("\xFF\xC0"), scan = bytes.find("\xFF\xDA"), table = bytes.find("\xFF\xDB");
  CHECK(refused(bytes.substr(0, table) + bytes.substr(frame)) ==
        "has no quantization table for the component 1; hint: is it complete?");
  std::string other = bytes;
  other[scan + 5] = 7;   // another component than the frame's
  CHECK(refused(other) == text("byte ", scan + 4, ": expected a scan of components of the frame; hint: is it damaged?"));
  CHECK(refused(bytes.substr(0, scan) + "\xFF\xD9") ==
        "has no scan, or not every scan, of the component 1; hint: is it complete?");
}

TEST_CASE("the orientation of a JPEG is that of its Exif: all eight, in either order of bytes") {
  const std::string bytes = image_file("rgb.jpg");
  const DecodedImage plain = decode_image(bytes, "");
  const int64_t h = plain.height, w = plain.width;
  const auto with = [&](const std::string& app) { return decode_image(bytes.substr(0, 2) + app + bytes.substr(2), ""); };
  const auto pixel = [](const DecodedImage& image, int64_t y, int64_t x) {
    const auto from = image.pixels.begin() + 3 * (y * image.width + x);
    return std::vector<uint8_t>(from, from + 3);
  };
  for (size_t orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    const DecodedImage turned = with(exif(orientation % 2 == 0, orientation));
    CHECK(turned.pixels == with(exif(orientation % 2 == 1, orientation)).pixels);
    REQUIRE(std::tuple(turned.height, turned.width) == (orientation < 5 ? std::tuple(h, w) : std::tuple(w, h)));
    // Where the pixel (y, x) of the file is seen: row 0 is the top, bottom, left or right, as the standard's table has it.
    size_t wrong = 0;
    for (int64_t y = 0; y < h; ++y)
      for (int64_t x = 0; x < w; ++x) {
        const std::pair<int64_t, int64_t> seen[] = {{y, x},         {y, w - 1 - x}, {h - 1 - y, w - 1 - x}, {h - 1 - y, x},
                                                    {x, y},         {x, h - 1 - y}, {w - 1 - x, h - 1 - y}, {w - 1 - x, y}};
        const auto& [row, column] = seen[orientation - 1];
        wrong += pixel(turned, row, column) != pixel(plain, y, x);
      }
    CHECK(wrong == 0);
  }
  // Other numbers, and what is no Exif, say nothing.
  for (const std::string& app : {exif(true, 0), exif(true, 9), exif(false, 6, 4), exif(false, 6, 3, 1), segment('\xE1', "Exif"),
                                 segment('\xE1', "http://ns.adobe.com/xap/1.0/"), segment('\xE2', exif(true, 6).substr(4))})
    CHECK(with(app).pixels == plain.pixels);
  const std::string whole = exif(false, 6).substr(4);
  for (size_t size = 0; size < whole.size(); ++size) {
    const bool has_value = size >= whole.size() - 4;   // the entry ends 4 bytes before the segment
    CHECK((with(segment('\xE1', whole.substr(0, size))).pixels == plain.pixels) == !has_value);
  }
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
    folder.write(place, image_file(image));
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
          fit_square(decode_image(image_file(order[i]), ""), 20));
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
  CHECK(error_of([&] { read_images(spec); }) ==
        folder.path().string() + ": has folders of classes in train and none in test; hint: parts are train and test, each "
                                 "with a folder for each class; classes have image files and no folders");
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
  fs::rename(folder.path() / "valid", folder.path() / "val");
  CHECK(error_of([&] { read_images(spec); }) ==
        (folder.path() / "val").string() +
            ": expected no folder beside the parts train, test and valid; hint: is it a part by another name?");
}

TEST_CASE("classes may be called train and test, where they have files and no folders") {
  const TemporaryFolder folder;
  ImageSpec spec;
  spec.kind = "folder";
  spec.path = folder.path();
  const auto put = [&](const std::string& place) { folder.write(place, image_file("rgb.png")); };
  const auto put_class = [&](const std::string& name) {
    for (const char* file : {"1.png", "2.png", "3.png"}) put(name + '/' + file);
  };
  const auto classes = [&] { return read_images(spec).description.classes; };
  put_class("plane");
  put_class("train");
  CHECK(classes() == std::vector<std::string>{"plane", "train"});
  put_class("test");
  CHECK(classes() == std::vector<std::string>{"plane", "test", "train"});
  put_class("test/car");   // folders in one of them: parts or classes?
  CHECK(error_of([&] { read_images(spec); })
            .starts_with(folder.path().string() + ": has folders of classes in test and none in train; hint: parts are "));
}

TEST_CASE("classes of unequal size give their last tenth, rounded up, to the test, then to validation") {
  const TemporaryFolder folder;
  const auto put = [&](const std::string& name, int count) {
    for (int k = 0; k < count; ++k)
      folder.write(text(name, "/", k + 10, ".png"), image_file(k % 2 ? "rgb.png" : "grey.png"));
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
        "data: expected at least 3 images of each class, of which one is for the test and one for validation, found 2 of \"bee\"");
}

TEST_CASE("a folder of one class is refused") {
  const TemporaryFolder folder;
  for (int k = 0; k < 4; ++k) folder.write(text("alone/ant/", k, ".png"), image_file("rgb.png"));
  ImageSpec spec;
  spec.kind = "folder";
  spec.path = folder.path() / "alone";
  CHECK(error_of([&] { read_images(spec); }) ==
        spec.path.string() + ": has images of one class, \"ant\"; hint: there must be two or more, a folder of images for each");
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
  fs::rename(folder.path() / "set" / "\xFF", folder.path() / "set" / "\x1B[2Jdog");
  CHECK(refused_by("set") ==
        "expected names of classes without control characters, found \"\\x1b[2Jdog\"; hint: rename the class");
}
