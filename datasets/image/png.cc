#include "datasets/image/png.h"

#include <zlib.h>

#include <array>
#include <cstdint>

#include "datasets/text/utf8.h"
#include "tensor/error.h"

namespace tapir {
namespace {

constexpr std::string_view is_complete = "is it complete?", copy_again = "copy the file again";

uint32_t number_at(std::string_view bytes, size_t at) {
  uint32_t number = 0;
  for (size_t k = 0; k < 4; ++k) number = number << 8 | static_cast<unsigned char>(bytes[at + k]);
  return number;
}

const Bytef* data_of(std::string_view bytes) { return reinterpret_cast<const Bytef*>(bytes.data()); }

// How many bytes the pixels are before compression: each row with the number of its filter, of an interlaced image the rows of
// seven smaller ones.
int64_t bytes_of_pixels(std::string_view header) {
  struct Pass {
    int64_t left, top, across, down;
  };
  static constexpr Pass all = {0, 0, 1, 1};
  static constexpr Pass interlaced[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                        {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
  static constexpr std::array<int64_t, 7> channels = {1, 0, 3, 1, 2, 0, 4};   // of each type of colour
  const int64_t width = number_at(header, 0), height = number_at(header, 4), depth = header[8];
  const auto type = static_cast<unsigned char>(header[9]);
  const int64_t bits = type < channels.size() ? depth * channels[type] : 0;
  int64_t bytes = 0;
  const auto add = [&](const Pass& pass) {
    const int64_t columns = (width - pass.left + pass.across - 1) / pass.across;
    const int64_t rows = (height - pass.top + pass.down - 1) / pass.down;
    if (columns > 0) bytes += rows * (1 + (columns * bits + 7) / 8);
  };
  if (header[12] == 0) {
    add(all);
  } else {
    for (const Pass& pass : interlaced) add(pass);
  }
  return bytes;
}

// Inflates the data of chunks and keeps nothing but how many bytes there are.
class Pixels {
 public:
  Pixels(int64_t bytes, const std::string& name) : expected_(bytes), name_(name) {
    require(inflateInit(&stream_) == Z_OK, name_, [] { return "there is no memory to decode it"; });
  }
  ~Pixels() { inflateEnd(&stream_); }
  Pixels(const Pixels&) = delete;

  void take(std::string_view data) {
    if (status_ == Z_STREAM_END) return;
    stream_.next_in = const_cast<Bytef*>(data_of(data));
    stream_.avail_in = static_cast<uInt>(data.size());
    do {
      stream_.next_out = scratch_.data();
      stream_.avail_out = static_cast<uInt>(scratch_.size());
      status_ = inflate(&stream_, Z_NO_FLUSH);
      require(status_ == Z_OK || status_ == Z_STREAM_END || status_ == Z_BUF_ERROR, name_, [&] {
        return text("its pixels are damaged: ", stream_.msg ? stream_.msg : "they cannot be inflated");
      }, copy_again);
      found_ += static_cast<int64_t>(scratch_.size() - stream_.avail_out);
      require(found_ <= expected_, name_, [&] { return text("its pixels inflate to more than ", expected_, " bytes"); },
              "is it a zip bomb?");
    } while (status_ == Z_OK && (stream_.avail_in > 0 || stream_.avail_out == 0));
  }

  void finish() const {
    require(status_ == Z_STREAM_END && found_ == expected_, name_,
            [&] { return text("its pixels are cut: expected ", expected_, " bytes with their checksum, found ", found_); },
            is_complete);
  }

 private:
  const int64_t expected_;
  const std::string& name_;
  z_stream stream_{};
  std::array<Bytef, 1 << 15> scratch_;
  int64_t found_ = 0;
  int status_ = Z_OK;
};

}  // namespace

void require_intact_png(std::string_view bytes, const std::string& name) {
  constexpr size_t signature = 8, around = 12, header = 13;   // around the data of a chunk: length, type, checksum
  require(bytes.size() >= signature + around + header && number_at(bytes, signature) == header &&
              bytes.substr(signature + 4, 4) == "IHDR",
          name, [] { return "expected a PNG that begins with the chunk IHDR of 13 bytes"; }, is_complete);
  Pixels pixels(bytes_of_pixels(bytes.substr(signature + 8, header)), name);
  for (size_t at = signature; at < bytes.size();) {
    const size_t left = bytes.size() - at;
    const size_t length = left < around ? left : number_at(bytes, at);
    const auto at_chunk = [&](const auto& fault) { return text("byte ", at, ": the chunk ", fault); };
    require(left >= around && length <= left - around, name, [&] { return at_chunk("ends behind the file"); }, is_complete);
    const std::string_view type = bytes.substr(at + 4, 4), data = bytes.substr(at + 8, length);
    require(crc32(0, data_of(type), static_cast<uInt>(4 + length)) == number_at(bytes, at + 8 + length), name,
            [&] { return at_chunk(text(shown(type), " has another checksum than its bytes")); }, copy_again);
    if (type == "IDAT") pixels.take(data);
    if (type == "IEND") return pixels.finish();
    at += around + length;
  }
  throw Error(name, "has no chunk IEND", is_complete);
}

}  // namespace tapir
