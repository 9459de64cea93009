// For tests of images: tar archives and CIFAR records, written byte by byte.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "datasets/image/cifar.h"
#include "tests/datasets/datasets_helpers.h"

namespace tapir::testing {

// A member of a tar archive (POSIX 1003.1-1988, ustar): its header of 512 bytes, its bytes, and zeros up to the next 512.
inline std::string tar_member(const std::string& path, const std::string& bytes, char type = '0', const std::string& link = "",
                              int64_t claimed_size = -1) {
  std::string header(512, '\0');
  const auto put = [&](size_t at, const std::string& value) { header.replace(at, value.size(), value); };
  const auto octal = [&](size_t at, int digits, int64_t value) {
    char text[16];
    std::snprintf(text, sizeof text, "%0*llo", digits, static_cast<unsigned long long>(value));
    put(at, text);
  };
  put(0, path);
  octal(100, 7, 0644);
  octal(108, 7, 0);
  octal(116, 7, 0);
  octal(124, 11, claimed_size < 0 ? static_cast<int64_t>(bytes.size()) : claimed_size);
  octal(136, 11, 0);
  put(148, "        ");
  header[156] = type;
  put(157, link);
  put(257, std::string("ustar\0" "00", 8));
  octal(148, 6, std::accumulate(header.begin(), header.end(), int64_t{0}, [](int64_t sum, char c) {
          return sum + static_cast<unsigned char>(c);
        }));
  header[154] = '\0';
  return header + bytes + std::string((512 - bytes.size() % 512) % 512, '\0');
}

inline std::string tar_end() { return std::string(1024, '\0'); }

// The file, compressed by gzip beside it.
inline std::filesystem::path gzipped(const std::filesystem::path& file) {
  const std::string command = "gzip -kf '" + file.string() + "'";
  require(std::system(command.c_str()) == 0, "test", [] { return "gzip failed"; });
  return file.string() + ".gz";
}

// Record r of the layout: label r mod classes, coarse label r mod coarse classes; the byte at (channel, row, column) is a
// number of its own.
inline uint8_t record_pixel(int64_t r, int64_t channel, int64_t row, int64_t column) {
  return static_cast<uint8_t>(r * 101 + channel * 67 + row * 5 + column * 3);
}

inline std::string records(const CifarLayout& layout, int64_t first, int64_t count) {
  std::string bytes;
  for (int64_t r = first; r < first + count; ++r) {
    if (layout.coarse_classes > 0) bytes += static_cast<char>(r % layout.coarse_classes);
    bytes += static_cast<char>(r % layout.classes);
    for (int64_t channel = 0; channel < 3; ++channel)
      for (int64_t row = 0; row < layout.size; ++row)
        for (int64_t column = 0; column < layout.size; ++column)
          bytes += static_cast<char>(record_pixel(r, channel, row, column));
  }
  return bytes;
}

// Files of the official sizes: label r mod classes of record r, pixels all r mod 251; "class 7" is a name.
inline void write_cifar(const CifarLayout& layout, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const auto name_all = [&](const std::string& file, int64_t classes) {
    std::ofstream names(folder / file);
    for (int64_t k = 0; k < classes; ++k) names << "class " << k << '\n';
  };
  name_all(layout.class_names, layout.classes);
  if (layout.coarse_classes > 0) name_all(layout.coarse_class_names, layout.coarse_classes);
  int64_t r = 0;
  const auto write = [&](const CifarLayout::File& part) {
    std::ofstream file(folder / part.name, std::ios::binary);
    for (int64_t k = 0; k < part.records; ++k, ++r) {
      if (layout.coarse_classes > 0) file << static_cast<char>(r % layout.coarse_classes);
      file << static_cast<char>(r % layout.classes) << std::string(3072, static_cast<char>(r % 251));
    }
  };
  for (const CifarLayout::File& part : layout.train) write(part);
  write(layout.test);
}

}  // namespace tapir::testing
