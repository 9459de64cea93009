// Images in a folder for each class.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "datasets/image/images.h"

namespace tapir {

// The folders of `folder`, by name: what classes it has. Error: there are none, or a name is no UTF-8.
std::vector<std::string> class_folders(const std::filesystem::path& folder);

// The PNG and JPEG files of `folder`/CLASS for each class, brought to `size` × `size` (fit_square). First the first file of
// every class by name, then the second ones, and so on. Errors: another folder than those of the classes; a class without images; a
// file that is no image (decode_image); more images than fit into memory.
Images read_image_folder(const std::filesystem::path& folder, const std::vector<std::string>& classes, int64_t size);

}  // namespace tapir
