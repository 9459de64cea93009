#include "datasets/image/folder.h"

#include <algorithm>

#include "datasets/image/decode.h"
#include "datasets/image/resize.h"
#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "tensor/available_memory.h"
#include "tensor/error.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;

// What is in a folder, by name; hidden things are not.
std::vector<fs::path> sorted_contents(const fs::path& folder) {
  std::error_code failure;
  std::vector<fs::path> contents;
  for (fs::directory_iterator item(folder, failure), end; !failure && item != end; item.increment(failure))
    if (!item->path().filename().string().starts_with('.')) contents.push_back(item->path());
  require(!failure, folder.string(), [&] { return text("cannot be read: ", failure.message()); });
  std::sort(contents.begin(), contents.end());
  return contents;
}

bool names_an_image(const fs::path& file) {
  std::string extension = file.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

std::vector<fs::path> images_of(const fs::path& folder) {
  std::vector<fs::path> files = sorted_contents(folder);
  for (const fs::path& file : files)
    require(names_an_image(file), file.string(), [] { return "expected files .png, .jpg or .jpeg in the folder of a class"; });
  require(!files.empty(), folder.string(), [] { return "expected PNG or JPEG files, found an empty folder"; });
  return files;
}

}  // namespace

bool is_folder_of_parts(const fs::path& folder) {
  const auto is_folder = [](const fs::path& path) {
    std::error_code ignored;
    return fs::is_directory(path, ignored);
  };
  const auto has_folders = [&](const char* part) {
    if (!is_folder(folder / part)) return false;
    const std::vector<fs::path> contents = sorted_contents(folder / part);
    return std::any_of(contents.begin(), contents.end(), is_folder);
  };
  const bool train = has_folders("train"), test = has_folders("test");
  require(train == test, folder.string(), [&] {
    return text("has folders of classes in ", train ? "train" : "test", " and none in ", train ? "test" : "train");
  }, "parts are train and test, each with a folder for each class; classes have image files and no folders");
  if (!train) return false;
  for (const fs::path& item : sorted_contents(folder)) {
    const std::string name = item.filename().string();
    require(!is_folder(item) || name == "train" || name == "test" || name == "valid", item.string(),
            [] { return "expected no folder beside the parts train, test and valid"; }, "is it a part by another name?");
  }
  return true;
}

std::vector<std::string> class_folders(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::path& item : sorted_contents(folder)) {
    std::error_code ignored;
    require(fs::is_directory(item, ignored), item.string(), [] { return "expected a folder for each class, found a file"; });
    names.push_back(item.filename().string());
  }
  require(!names.empty(), folder.string(), [] { return "expected a folder for each class, found an empty folder"; });
  require_class_names(names, folder.string());
  return names;
}

Images read_image_folder(const fs::path& folder, const std::vector<std::string>& classes, int64_t size) {
  const std::vector<std::string> found = class_folders(folder);
  require(found == classes, folder.string(), [&] {
    const auto [own, other] = std::mismatch(found.begin(), found.end(), classes.begin(), classes.end());
    return text("expected the classes of the training part, found ", own == found.end() ? "no " : "", 
                shown(own == found.end() ? *other : *own));
  });
  std::vector<std::vector<fs::path>> files;
  size_t most = 0;
  int64_t count = 0;
  for (const std::string& name : classes) {
    files.push_back(images_of(folder / name));
    most = std::max(most, files.back().size());
    count += static_cast<int64_t>(files.back().size());
  }
  const int64_t each = 3 * size * size;
  require_memory("data", 2 * count * each, "make images smaller, or use fewer");
  Images images{size, size, 3, {}, {}, {}};
  images.pixels.reserve(static_cast<size_t>(count * each));
  for (size_t k = 0; k < most; ++k)
    for (size_t label = 0; label < classes.size(); ++label) {
      if (k >= files[label].size()) continue;
      const std::vector<uint8_t> pixels = fit_square(decode_image(read_file(files[label][k]), files[label][k].string()), size);
      images.pixels.insert(images.pixels.end(), pixels.begin(), pixels.end());
      images.labels.push_back(static_cast<int32_t>(label));
    }
  return images;
}

}  // namespace tapir
