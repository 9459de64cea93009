#include "datasets/image/images.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "datasets/catalog.h"
#include "datasets/image/cifar.h"
#include "datasets/image/folder.h"
#include "datasets/synthetic/pictures.h"
#include "datasets/text/utf8.h"
#include "tensor/error.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

struct Parts {
  Images train, valid, test;
  std::vector<std::string> classes, coarse_classes;
};

Images chosen(const Images& images, const std::vector<bool>& choice, bool value) {
  Images result{images.height, images.width, images.channels, {}, {}, {}};
  result.pixels.reserve(static_cast<size_t>(std::count(choice.begin(), choice.end(), value) * images.pixels_each()));
  for (int64_t i = 0; i < images.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    if (choice[at] != value) continue;
    const auto pixels = images.image(i);
    result.pixels.insert(result.pixels.end(), pixels.begin(), pixels.end());
    result.labels.push_back(images.labels[at]);
    if (!images.coarse_labels.empty()) result.coarse_labels.push_back(images.coarse_labels[at]);
  }
  return result;
}

// The last ⌈n / 10⌉ of the n images of each class, and the others.
struct Cut {
  Images first, last;
};

Cut cut_last_tenth(const Images& images, const std::vector<std::string>& classes, std::string_view parts, int64_t least = 2) {
  std::vector<int64_t> left(classes.size());
  for (const int32_t label : images.labels) ++left[static_cast<size_t>(label)];
  for (size_t label = 0; label < classes.size(); ++label)
    require(left[label] >= least, "data", [&] {
      return text("expected at least ", least, " images of each class, of which one is for ", parts, ", found ", left[label], " of ",
                  shown(classes[label]));
    });
  for (int64_t& count : left) count -= (count + 9) / 10;
  std::vector<bool> is_last;
  for (const int32_t label : images.labels) is_last.push_back(--left[static_cast<size_t>(label)] < 0);
  return {chosen(images, is_last, false), chosen(images, is_last, true)};
}

Parts with_validation(Images train, Images test, std::vector<std::string> classes, std::vector<std::string> coarse = {}) {
  Cut cut = cut_last_tenth(train, classes, "validation");
  return {std::move(cut.first), std::move(cut.last), std::move(test), std::move(classes), std::move(coarse)};
}

struct CifarKind {
  const char* name;
  const CifarLayout& (*layout)();
};
constexpr CifarKind cifar_kinds[] = {{"cifar-10", cifar_10}, {"cifar-100", cifar_100}};

Parts cifar_parts(const ImageSpec& spec, const CifarLayout& layout) {
  require(spec.size == 0 || spec.size == 32, "data.size",
          [&] { return text("images of ", spec.kind, " are 32 x 32, found ", spec.size); }, "leave it at 0");
  const fs::path place = spec.path.empty() ? require_place(*find_data_set(spec.kind)) : spec.path;
  CifarParts read = read_cifar(layout, place);
  return with_validation(std::move(read.train), std::move(read.test), std::move(read.classes),
                         std::move(read.coarse_classes));
}

int64_t checked_size(const ImageSpec& spec, int64_t least, int64_t most, int64_t usual) {
  require(spec.size == 0 || (spec.size >= least && spec.size <= most), "data.size", [&] {
    return text("expected 0 or a size in [", least, ", ", most, "], found ", spec.size);
  });
  return spec.size > 0 ? spec.size : usual;
}

std::vector<std::string> classes_in(const fs::path& folder) {
  std::vector<std::string> classes = class_folders(folder);
  require(classes.size() >= 2, folder.string(), [&] { return text("has images of one class, ", shown(classes[0])); },
          "there must be two or more, a folder of images for each");
  return classes;
}

Parts folder_parts(const ImageSpec& spec) {
  require(!spec.path.empty(), "data.path", [] { return "the kind \"folder\" needs the path of a folder"; });
  const int64_t size = checked_size(spec, 1, 1024, 32);
  if (!is_folder_of_parts(spec.path)) {
    std::vector<std::string> classes = classes_in(spec.path);
    Cut cut = cut_last_tenth(read_image_folder(spec.path, classes, size), classes, "the test and one for validation", 3);
    return with_validation(std::move(cut.first), std::move(cut.last), std::move(classes));
  }
  std::vector<std::string> classes = classes_in(spec.path / "train");
  const auto read = [&](const char* part) { return read_image_folder(spec.path / part, classes, size); };
  Images train = read("train"), test = read("test");
  std::error_code ignored;
  if (!fs::is_directory(spec.path / "valid", ignored))
    return with_validation(std::move(train), std::move(test), std::move(classes));
  return {std::move(train), read("valid"), std::move(test), std::move(classes), {}};
}

Parts synthetic_parts(const ImageSpec& spec, const std::string& kind) {
  require(spec.path.empty(), "data.path", [&] { return text("the kind ", shown(spec.kind), " has no path"); });
  const int64_t size = checked_size(spec, 16, 256, kind == "triangle" ? 64 : 32);
  const std::vector<std::string>& classes = picture_classes(kind);
  CifarLayout layout;
  layout.classes = static_cast<int64_t>(classes.size());
  layout.size = size;
  const auto drawn = [&](std::string_view part, int64_t limit, int64_t usual) {
    const int64_t count = limit > 0 ? limit : usual;
    Images images;
    append_records(images, layout, picture_records(kind, part, count, size), count, "pictures");
    return images;
  };
  return {drawn("train", spec.limits.train, 10'000), drawn("valid", spec.limits.valid, 1'000),
          drawn("test", spec.limits.test, 1'000), classes, {}};
}

Parts parts_of(const ImageSpec& spec) {
  for (const auto& [kind, layout] : cifar_kinds)
    if (spec.kind == kind) return cifar_parts(spec, layout());
  if (spec.kind == "folder") return folder_parts(spec);
  constexpr std::string_view synthetic = "synthetic-";
  std::string known = "cifar-10, cifar-100, folder";
  for (const std::string& kind : picture_kinds()) {
    if (spec.kind == std::string(synthetic) + kind) return synthetic_parts(spec, kind);
    known += text(", ", synthetic, kind);
  }
  throw Error("data.kind", text("expected one of ", known, ", found ", shown(spec.kind)));
}

void keep_first(Images& images, int64_t limit) {
  if (limit == 0 || images.size() <= limit) return;
  images.pixels.resize(static_cast<size_t>(limit * images.pixels_each()));
  images.labels.resize(static_cast<size_t>(limit));
  if (!images.coarse_labels.empty()) images.coarse_labels.resize(static_cast<size_t>(limit));
}

// The same of validation, which may be the last images of each class, as of CIFAR: the first ones of each class in turn.
void keep_first_in_turn(Images& images, int64_t limit) {
  if (limit == 0 || images.size() <= limit) return;
  std::vector<std::pair<int64_t, int64_t>> turns;   // of each image: how many of its class come before it, and its place
  std::map<int32_t, int64_t> before;
  for (int64_t i = 0; i < images.size(); ++i) turns.emplace_back(before[images.labels[static_cast<size_t>(i)]]++, i);
  std::nth_element(turns.begin(), turns.begin() + limit, turns.end());
  std::vector<bool> kept(turns.size());
  for (int64_t k = 0; k < limit; ++k) kept[static_cast<size_t>(turns[static_cast<size_t>(k)].second)] = true;
  images = chosen(images, kept, true);
}

// Where each of `names` stands among those that are known. Throws Error unless both have the same names.
std::vector<int32_t> places_of(const std::vector<std::string>& names, const std::vector<std::string>& known) {
  const auto refuse = [](const std::string& name, const char* what) {
    throw Error("data", text("expected the classes that the model was trained on, found ", what, shown(name)),
                "images.json of the run has their names, as the folders of images must have");
  };
  for (const std::string& name : known)
    if (std::find(names.begin(), names.end(), name) == names.end()) refuse(name, "no ");
  std::vector<int32_t> places;
  for (const std::string& name : names) {
    const auto place = std::find(known.begin(), known.end(), name);
    if (place == known.end()) refuse(name, "");
    places.push_back(static_cast<int32_t>(place - known.begin()));
  }
  return places;
}

// Numbers classes as `known` does.
void number_as(const ImageDescription& known, Parts& parts) {
  const std::vector<int32_t> classes = places_of(parts.classes, known.classes);
  const bool coarse = !parts.coarse_classes.empty() && !known.coarse_classes.empty();
  const std::vector<int32_t> coarse_classes =
      coarse ? places_of(parts.coarse_classes, known.coarse_classes) : std::vector<int32_t>();
  for (Images* images : {&parts.train, &parts.valid, &parts.test}) {
    for (int32_t& label : images->labels) label = classes[static_cast<size_t>(label)];
    if (!coarse) images->coarse_labels.clear();
    for (int32_t& label : images->coarse_labels) label = coarse_classes[static_cast<size_t>(label)];
  }
}

void require_known_size(const Images& images, const ImageDescription& known) {
  require(images.height == known.height && images.width == known.width, "data.size", [&] {
    return text("expected images of ", known.height, " x ", known.width, ", as the model was trained on, found ",
                images.height, " x ", images.width);
  });
}

}  // namespace

void require_class_names(const std::vector<std::string>& names, const std::string& where) {
  for (const std::string& name : names) {
    require(!first_invalid_utf8(name), where, [&] { return text("expected names in UTF-8, found ", shown(name)); });
    require(!name.empty(), where, [] { return "has a class without a name"; });
    require(!has_control_character(name), where,
            [&] { return text("expected names of classes without control characters, found ", shown(name)); },
            "rename the class");
  }
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  require(twice == sorted.end(), where, [&] { return text("has the class ", shown(*twice), " twice"); });
}

ImageSet read_images(const ImageSpec& spec, const ImageDescription* known) {
  const auto& limits = spec.limits;
  require(std::min({limits.train, limits.valid, limits.test}) >= 0, "data.limits", [&] {
    return text("expected limits of at least 0, found ", limits.train, ", ", limits.valid, ", ", limits.test);
  });
  Parts parts = parts_of(spec);
  ImageSet set;
  set.found = parts.train.size() + parts.valid.size() + parts.test.size();
  if (known) {
    require_known_size(parts.train, *known);
    number_as(*known, parts);
    set.description = *known;
  } else {
    const Images& train = parts.train;
    set.description = {train.height,      train.width,          train.channels,
                       parts.classes,     parts.coarse_classes, channel_statistics(train),
                       digest_of(train)};
  }
  set.train = std::move(parts.train);
  set.valid = std::move(parts.valid);
  set.test = std::move(parts.test);
  keep_first(set.train, limits.train);
  keep_first_in_turn(set.valid, limits.valid);
  keep_first(set.test, limits.test);
  return set;
}

std::string kind_at(const fs::path& place, int64_t classes) {
  std::error_code ignored;
  const bool file = fs::is_regular_file(place, ignored);
  for (const auto& [kind, layout] : cifar_kinds)
    if (file ? layout().classes == classes : fs::exists(place / layout().test.name, ignored)) return kind;
  return "folder";
}

ChannelStatistics channel_statistics(const Images& images) {
  require(images.size() > 0, "data", [] { return "there is no image to take statistics of"; });
  const auto channels = static_cast<size_t>(images.channels);
  std::vector<uint64_t> sums(channels), squares(channels);   // exact: 2^64 / 255² pixels are more than memory holds
  for (size_t i = 0; i < images.pixels.size(); i += channels)
    for (size_t c = 0; c < channels; ++c) {
      const uint64_t value = images.pixels[i + c];
      sums[c] += value;
      squares[c] += value * value;
    }
  ChannelStatistics statistics;
  const double count = static_cast<double>(images.pixels.size() / channels);
  for (size_t c = 0; c < channels; ++c) {
    const double mean = static_cast<double>(sums[c]) / count;
    const double variance = static_cast<double>(squares[c]) / count - mean * mean;
    statistics.mean.push_back(mean / 255);
    statistics.deviation.push_back(std::sqrt(std::max(variance, 0.0)) / 255);
  }
  return statistics;
}

std::string digest_of(const Images& images) {
  Sha256 digest;
  const int64_t extents[] = {images.height, images.width, images.channels};
  digest.update(std::as_bytes(std::span(extents)));
  digest.update(std::as_bytes(std::span(images.labels)));
  digest.update(std::as_bytes(std::span(images.coarse_labels)));
  digest.update(std::as_bytes(std::span(images.pixels)));
  return digest.hex();
}

}  // namespace tapir
