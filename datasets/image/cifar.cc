#include "datasets/image/cifar.h"

#include <algorithm>
#include <functional>
#include <map>

#include "datasets/image/archive.h"
#include "datasets/location.h"
#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "tensor/available_memory.h"
#include "tensor/error.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

constexpr int64_t most_name_bytes = 1 << 16;   // of a file of class names

std::vector<std::string> names_of(std::string_view contents, int64_t count, const std::string& file) {
  require(!first_invalid_utf8(contents), file, [] { return "expected UTF-8 text"; });
  std::vector<std::string> names;
  while (!contents.empty()) {
    const size_t end = std::min(contents.find('\n'), contents.size());
    std::string_view line = contents.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) names.emplace_back(line);
    contents.remove_prefix(std::min(end + 1, contents.size()));
  }
  require(static_cast<int64_t>(names.size()) == count, file,
          [&] { return text("expected ", count, " lines with the name of a class, found ", names.size()); });
  require_class_names(names, file);
  return names;
}

// The bytes of a file of the set, and the name to call it by.
struct File {
  std::string bytes, name;
};
using Read = std::function<File(const std::string&)>;

Read from_folder(const CifarLayout& layout, const fs::path& folder) {
  return [&layout, folder](const std::string& name) {
    const fs::path file = require_file(layout.folder, folder, name, "the folder has not all files of the data set");
    return File{read_file(file), file.string()};
  };
}

Read from_archive(const CifarLayout& layout, const fs::path& archive) {
  std::map<std::string, int64_t> wanted;
  const auto want = [&](const std::string& name, int64_t bytes) { wanted[layout.folder + "/" + name] = bytes; };
  for (const auto& file : layout.train) want(file.name, file.records * layout.record_bytes());
  want(layout.test.name, layout.test.records * layout.record_bytes());
  for (const std::string& name : {layout.class_names, layout.coarse_class_names})
    if (!name.empty()) want(name, most_name_bytes);
  auto files = read_archive(archive, wanted);
  return [&layout, archive, files = std::move(files)](const std::string& name) mutable {
    const std::string member = layout.folder + "/" + name;
    const auto found = files.find(member);
    require(found != files.end(), archive.string(), [&] { return text("has no ", member); }, "is it complete?");
    File file{std::move(found->second), archive.string() + ": " + member};
    files.erase(found);
    return file;
  };
}

}  // namespace

const CifarLayout& cifar_10() {
  static const CifarLayout layout = [] {
    CifarLayout made;
    made.folder = "cifar-10-batches-bin";
    for (int k = 1; k <= 5; ++k) made.train.push_back({text("data_batch_", k, ".bin"), 10'000});
    made.test = {"test_batch.bin", 10'000};
    made.class_names = "batches.meta.txt";
    made.classes = 10;
    return made;
  }();
  return layout;
}

const CifarLayout& cifar_100() {
  static const CifarLayout layout = [] {
    CifarLayout made;
    made.folder = "cifar-100-binary";
    made.train = {{"train.bin", 50'000}};
    made.test = {"test.bin", 10'000};
    made.class_names = "fine_label_names.txt";
    made.coarse_class_names = "coarse_label_names.txt";
    made.classes = 100;
    made.coarse_classes = 20;
    return made;
  }();
  return layout;
}

void append_records(Images& images, const CifarLayout& layout, std::string_view bytes, int64_t records,
                    const std::string& name) {
  const int64_t record = layout.record_bytes(), plane = layout.size * layout.size;
  const int64_t labels = record - 3 * plane;
  require(static_cast<int64_t>(bytes.size()) == records * record, name, [&] {
    return text("expected ", records, " records of ", record, " bytes, that is ", records * record, " bytes, found ",
                bytes.size());
  });
  const auto label = [&](int64_t r, int64_t position, int64_t classes) {
    const int64_t offset = r * record + position, found = static_cast<unsigned char>(bytes[static_cast<size_t>(offset)]);
    require(found < classes, name, [&] {
      return text("byte ", offset, " (record ", r, "): expected a label in [0, ", classes, "), found ", found);
    });
    return static_cast<int32_t>(found);
  };
  size_t filled = images.pixels.size();
  images.height = images.width = layout.size;
  images.pixels.resize(filled + static_cast<size_t>(records * 3 * plane));
  for (int64_t r = 0; r < records; ++r) {
    if (layout.coarse_classes > 0) images.coarse_labels.push_back(label(r, 0, layout.coarse_classes));
    images.labels.push_back(label(r, labels - 1, layout.classes));
    const char* const red = bytes.data() + r * record + labels;
    for (int64_t i = 0; i < plane; ++i)
      for (int64_t c = 0; c < 3; ++c) images.pixels[filled++] = static_cast<uint8_t>(red[c * plane + i]);
  }
}

CifarParts read_cifar(const CifarLayout& layout, const fs::path& place) {
  int64_t records = layout.test.records;
  for (const auto& file : layout.train) records += file.records;
  require_memory("data", 2 * records * layout.record_bytes(), "images take so much memory");
  std::error_code ignored;
  const Read read = fs::is_directory(place, ignored) ? from_folder(layout, place) : from_archive(layout, place);

  CifarParts parts;
  const auto append = [&](Images& images, const CifarLayout::File& part) {
    const File file = read(part.name);
    append_records(images, layout, file.bytes, part.records, file.name);
  };
  const auto names = [&](const std::string& name, int64_t count) {
    const File file = read(name);
    return names_of(file.bytes, count, file.name);
  };
  for (const auto& file : layout.train) append(parts.train, file);
  append(parts.test, layout.test);
  parts.classes = names(layout.class_names, layout.classes);
  if (layout.coarse_classes > 0) parts.coarse_classes = names(layout.coarse_class_names, layout.coarse_classes);
  return parts;
}

}  // namespace tapir
