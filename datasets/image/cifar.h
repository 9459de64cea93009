// The binary layout of CIFAR-10 and CIFAR-100 (Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009):
// records of the labels, one byte each, the coarse one first where there are two, then the red, the green and the blue plane.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/image/images.h"

namespace tapir {

struct CifarLayout {
  struct File {
    std::string name;
    int64_t records = 0;
  };
  std::string folder;   // of the files, in an archive too
  std::vector<File> train;
  File test;
  std::string class_names, coarse_class_names;   // files with a name a line; coarse "": there is no coarse label
  int64_t classes = 0, coarse_classes = 0;
  int64_t size = 32;    // height and width of an image

  int64_t record_bytes() const { return (coarse_classes > 0 ? 2 : 1) + 3 * size * size; }
};

const CifarLayout& cifar_10();    // cifar-10-batches-bin: 5 training files and a test file of 10,000 records
const CifarLayout& cifar_100();   // cifar-100-binary: 50,000 and 10,000 records with coarse labels

struct CifarParts {
  Images train, test;
  std::vector<std::string> classes, coarse_classes;
};

// Reads a folder of the files, or a .tar.gz that has `layout.folder`. Errors name the file: missing; of another size than its
// records have; a label out of range (names record and byte); names of another number, or that require_class_names refuses.
CifarParts read_cifar(const CifarLayout& layout, const std::filesystem::path& place);

// Appends the images of `bytes` of the file `name`, channels last. Errors as above.
void append_records(Images& images, const CifarLayout& layout, std::string_view bytes, int64_t records,
                    const std::string& name);

}  // namespace tapir
