// require_whole_jpeg: the codes of a JPEG's scans, read and counted (ISO/IEC 10918-1, annexes C, F and G).
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "datasets/image/jpeg.h"
#include "datasets/image/jpeg_segments.h"
#include "tensor/error.h"

namespace tapir {
namespace {

// A canonical code (annex C): codes of n bits are those below end[n], left-aligned in 16 bits, that no shorter one begins.
struct HuffmanTable {
  std::array<uint32_t, 17> end{};
  std::array<int64_t, 17> first{};   // what to add to a code of n bits for the place of its value
  std::string_view values;

  HuffmanTable() = default;
  HuffmanTable(std::string_view segment, size_t table) : values(segment.substr(table + 17, codes_at(segment, table))) {
    uint32_t code = 0;
    int64_t place = 0;
    for (size_t bits = 1; bits <= 16; ++bits) {
      first[bits] = place - code;
      const int count = byte_at(segment, table + bits);
      code += static_cast<uint32_t>(count);
      place += count;
      end[bits] = code << (16 - bits);
      code <<= 1;
    }
  }
};

// The bits of a scan, from one marker to the next.
class Bits {
 public:
  Bits(std::string_view bytes, size_t at, const std::string& name) : bytes_(bytes), at_(at), name_(name) {}

  int value(const HuffmanTable& table) {
    fill();
    const auto next = static_cast<uint32_t>((count_ >= 16 ? bits_ >> (count_ - 16) : bits_ << (16 - count_)) & 0xFFFF);
    for (size_t n = 1; n <= 16; ++n) {
      if (next >= table.end[n]) continue;
      skip(static_cast<int>(n));
      return byte_at(table.values, static_cast<size_t>(table.first[n] + (next >> (16 - n))));
    }
    require(count_ >= 16, name_, [&] { return ends_early(); }, is_complete);
    throw damaged("these bits are no code of their table");
  }

  int take(int n) {   // n ≤ 16
    if (count_ < n) fill();
    skip(n);
    return static_cast<int>(bits_ >> count_) & ((1 << n) - 1);
  }

  // Behind the last block before a marker nothing is left but what fills its byte. Goes on behind the marker.
  void finish(bool restarts) {
    fill();
    require(count_ < 8, name_, [&] { return text("byte ", at_, ": the codes of a scan go on behind its last block"); },
            is_damaged);
    count_ = 0;
    if (!restarts) return;
    while (byte_at(bytes_, at_ + 1) == 0xFF) ++at_;
    const int marker = byte_at(bytes_, at_ + 1);
    require(marker >= 0xD0 && marker <= 0xD7, name_, [&] { return ends_early(); }, is_complete);
    at_ += 2;
  }

  Error damaged(std::string_view fault) const { return Error(name_, text("byte ", at_, ": ", fault), is_damaged); }

 private:
  std::string ends_early() const { return text("byte ", at_, ": the codes of a scan end before its last block"); }

  void skip(int n) {
    require(n <= count_, name_, [&] { return ends_early(); }, is_complete);
    count_ -= n;
  }

  void fill() {
    for (; count_ <= 48 && at_ < bytes_.size(); ++at_) {
      const int byte = byte_at(bytes_, at_);
      if (byte == 0xFF) {
        if (byte_at(bytes_, at_ + 1) != 0) return;   // a marker
        ++at_;
      }
      bits_ = bits_ << 8 | static_cast<uint64_t>(byte);
      count_ += 8;
    }
  }

  std::string_view bytes_;
  size_t at_;   // of what is not in bits_
  const std::string& name_;
  uint64_t bits_ = 0;   // the last count_ are next
  int count_ = 0;
};

struct Component {
  int id = 0, across = 1, down = 1, quantization = 0;   // blocks of a unit of interleaved data
  int64_t rows = 0, columns = 0;                        // blocks of a scan of its own
  int64_t stride = 0;                                   // blocks of a row, with those that fill up units
  std::array<int, 64> missing{};                        // bits of each coefficient that no scan had; 16: all
  std::vector<uint64_t> nonzero;                        // progressive: for each block the coefficients that a scan made so
};

class Scans {
 public:
  Scans(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  void read() {
    for (Segment segment = segment_from(bytes_, 2); segment.marker != 0; segment = segment_from(bytes_, segment.end)) {
      if (segment.marker == 0xD9) break;
      if (segment.marker == 0xC4) take_tables(segment.bytes);
      if (segment.marker == 0xDB) take_quantization(segment.bytes);
      if (segment.marker == 0xDD) interval_ = static_cast<int64_t>(pair_at(segment.bytes, 0));
      if (is_frame(segment.marker) && components_.empty()) take_frame(segment);
      if (segment.marker == 0xDA) read_scan(segment);
    }
    for (const Component& component : components_)
      require(std::count(component.missing.begin(), component.missing.end(), 0) == 64, name_,
              [&] { return text("has no scan, or not every scan, of the component ", component.id); }, is_complete);
  }

 private:
  void take_tables(std::string_view segment) {
    for (size_t at = 0; at < segment.size(); at += 17 + codes_at(segment, at)) {
      const auto kind = static_cast<size_t>(byte_at(segment, at) >> 4), number = static_cast<size_t>(byte_at(segment, at) & 15);
      if (kind < 2 && number < 4) tables_[kind][number] = HuffmanTable(segment, at);
    }
  }

  void take_quantization(std::string_view segment) {
    for (size_t at = 0; at < segment.size(); at += byte_at(segment, at) >> 4 ? 129 : 65)
      has_quantization_[static_cast<size_t>(byte_at(segment, at) & 15)] = true;
  }

  void take_frame(const Segment& frame) {
    is_progressive_ = frame.marker == 0xC2;
    const auto height = static_cast<int64_t>(pair_at(frame.bytes, 1)), width = static_cast<int64_t>(pair_at(frame.bytes, 3));
    int across = 1, down = 1;
    for (size_t at = 6; at + 3 <= frame.bytes.size(); at += 3) {
      Component& one = components_.emplace_back();
      one.id = byte_at(frame.bytes, at);
      one.across = byte_at(frame.bytes, at + 1) >> 4;
      one.down = byte_at(frame.bytes, at + 1) & 15;
      one.quantization = byte_at(frame.bytes, at + 2) & 15;
      one.missing.fill(16);
      across = std::max(across, one.across);
      down = std::max(down, one.down);
    }
    const auto divided = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
    units_across_ = divided(width, 8 * across);
    units_ = units_across_ * divided(height, 8 * down);
    for (Component& one : components_) {
      one.columns = divided(divided(width * one.across, across), 8);
      one.rows = divided(divided(height * one.down, down), 8);
      one.stride = units_across_ * one.across;
      if (is_progressive_) one.nonzero.resize(static_cast<size_t>(units_ * one.across * one.down));
    }
  }

  struct Coded {   // with which tables
    Component* component;
    const HuffmanTable *dc, *ac;
  };

  void read_scan(const Segment& scan) {
    const auto fault = [&] { return text("byte ", scan.begin, ": expected a scan of components of the frame"); };
    const auto count = static_cast<size_t>(byte_at(scan.bytes, 0));
    require(count >= 1 && count <= 4 && scan.bytes.size() == 4 + 2 * count, name_, fault, is_damaged);
    std::vector<Coded> coded;
    for (size_t k = 0; k < count; ++k) {
      const auto found = std::find_if(components_.begin(), components_.end(),
                                      [&](const Component& one) { return one.id == byte_at(scan.bytes, 1 + 2 * k); });
      const int tables = byte_at(scan.bytes, 2 + 2 * k);
      require(found != components_.end() && tables >> 4 < 4 && (tables & 15) < 4, name_, fault, is_damaged);
      require(has_quantization_[static_cast<size_t>(found->quantization)], name_,
              [&] { return text("has no quantization table for the component ", found->id); }, is_complete);
      coded.push_back({&*found, &tables_[0][static_cast<size_t>(tables >> 4)], &tables_[1][static_cast<size_t>(tables & 15)]});
    }
    first_ = is_progressive_ ? byte_at(scan.bytes, 1 + 2 * count) : 0;
    last_ = is_progressive_ ? byte_at(scan.bytes, 2 + 2 * count) : 63;
    const int bits = is_progressive_ ? byte_at(scan.bytes, 3 + 2 * count) : 0;   // that are missing: before, behind the scan
    refines_ = bits >> 4 > 0;
    require(first_ <= last_ && last_ < 64 && (!is_progressive_ || (first_ == 0 ? last_ == 0 : count == 1)), name_, fault,
            is_damaged);
    for (const Coded& one : coded) {
      const auto from = one.component->missing.begin() + first_, to = from + (last_ + 1 - first_);
      const int before = refines_ ? bits >> 4 : 16;
      require(std::count(from, to, before) == to - from, name_,
              [&] { return text("byte ", scan.begin, ": the scan before this one is missing"); }, is_complete);
      std::fill(from, to, bits & 15);
    }
    read_blocks(coded, scan.end);
  }

  void read_blocks(const std::vector<Coded>& coded, size_t begin) {
    Bits bits(bytes_, begin, name_);
    const bool interleaved = coded.size() > 1;
    const Component& only = *coded[0].component;
    const int64_t units = interleaved ? units_ : only.rows * only.columns;
    zero_blocks_ = 0;
    for (int64_t unit = 0; unit < units; ++unit) {
      if (interval_ > 0 && unit > 0 && unit % interval_ == 0) {
        bits.finish(true);
        zero_blocks_ = 0;
      }
      if (!interleaved) {
        read_block(bits, coded[0], unit / only.columns * only.stride + unit % only.columns);
        continue;
      }
      const int64_t row = unit / units_across_, column = unit % units_across_;
      for (const Coded& one : coded)
        for (int y = 0; y < one.component->down; ++y)
          for (int x = 0; x < one.component->across; ++x)
            read_block(bits, one, (row * one.component->down + y) * one.component->stride + column * one.component->across + x);
    }
    bits.finish(false);
  }

  void read_block(Bits& bits, const Coded& coded, int64_t block) {
    if (first_ == 0) {
      if (refines_) {
        bits.take(1);
      } else {
        take_magnitude(bits, bits.value(*coded.dc));
      }
    }
    if (last_ == 0) return;
    uint64_t ignored = 0;
    uint64_t& nonzero = is_progressive_ ? coded.component->nonzero[static_cast<size_t>(block)] : ignored;
    if (refines_) {
      refine(bits, *coded.ac, nonzero);
    } else {
      read_coefficients(bits, *coded.ac, nonzero);
    }
  }

  static void take_magnitude(Bits& bits, int size) {
    if (size > 15) throw bits.damaged("expected a number of at most 15 bits");
    bits.take(size);
  }

  // A value is a number of zeros and how many bits the coefficient behind them has; without bits 16 zeros, or the end of this
  // block and of as many others.
  void read_coefficients(Bits& bits, const HuffmanTable& table, uint64_t& nonzero) {
    if (zero_blocks_ > 0) {
      --zero_blocks_;
      return;
    }
    for (int k = std::max(first_, 1); k <= last_; ++k) {
      const int value = bits.value(table), zeros = value >> 4, size = value & 15;
      if (size == 0 && zeros < 15) {
        zero_blocks_ = blocks_of(bits, zeros) - 1;
        return;
      }
      k += zeros;
      if (k > last_) throw bits.damaged("a block has more coefficients than its scan");
      take_magnitude(bits, size);
      if (size > 0) nonzero |= uint64_t{1} << k;
    }
  }

  // A bit for each coefficient that is not zero yet comes between the codes.
  void refine(Bits& bits, const HuffmanTable& table, uint64_t& nonzero) {
    const auto is_zero = [&](int k) { return (nonzero >> k & 1) == 0; };
    int k = first_;
    while (zero_blocks_ == 0 && k <= last_) {
      const int value = bits.value(table), size = value & 15;
      int zeros = value >> 4;
      if (size == 0 && zeros < 15) {
        zero_blocks_ = blocks_of(bits, zeros);
        break;
      }
      if (size > 1) throw bits.damaged("expected a coefficient of one bit");
      bits.take(size);
      for (; k <= last_ && (!is_zero(k) || zeros-- > 0); ++k)
        if (!is_zero(k)) bits.take(1);
      if (k > last_ && size > 0) throw bits.damaged("a block has more coefficients than its scan");
      if (size > 0) nonzero |= uint64_t{1} << k;
      ++k;
    }
    if (zero_blocks_ == 0) return;
    for (; k <= last_; ++k)
      if (!is_zero(k)) bits.take(1);
    --zero_blocks_;
  }

  // Only progressive data end several blocks at once.
  int64_t blocks_of(Bits& bits, int size) const {
    if (size > 0 && !is_progressive_) throw bits.damaged("expected the end of one block");
    return (int64_t{1} << size) + bits.take(size);
  }

  std::string_view bytes_;
  const std::string& name_;
  std::array<std::array<HuffmanTable, 4>, 2> tables_;   // of first coefficients, of others
  std::array<bool, 16> has_quantization_{};
  int64_t interval_ = 0;   // units from restart to restart; 0: there is none
  std::vector<Component> components_;
  bool is_progressive_ = false, refines_ = false;
  int64_t units_across_ = 0, units_ = 0;
  int first_ = 0, last_ = 63;
  int64_t zero_blocks_ = 0;   // that follow and have no further coefficient
};

}  // namespace

void require_whole_jpeg(std::string_view bytes, const std::string& name) { Scans(bytes, name).read(); }

}  // namespace tapir
