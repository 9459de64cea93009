// Images in a folder for each class.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "datasets/image/images.h"

namespace tapir {

// Whether `folder` has the folders train and test of folders of classes, not the classes themselves. Errors: one of the two has
// folders and the other none, or is not there; there is a folder beside train, test and valid.
bool is_folder_of_parts(const std::filesystem::path& folder);

// The folders of `folder`, by name: what classes it has. Errors: there are none; a file is there; require_class_names refuses a
// name.
std::vector<std::string> class_folders(const std::filesystem::path& folder);

// The PNG and JPEG files of `folder`/CLASS for each class, brought to `size` × `size` (fit_square). First the first file of
// every class by name, then the second ones, and so on. Errors: another folder than those of the classes; a class without
// images; a file that is no image (decode_image); more images than fit into memory.
Images read_image_folder(const std::filesystem::path& folder, const std::vector<std::string>& classes, int64_t size);

}  // namespace tapir
