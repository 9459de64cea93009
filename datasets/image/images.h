// A set of images: training, validation and test part, what their classes are called, and what a model that learned from them
// must know of them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace tapir {

// Images of one size with their labels. Channels are last, so that patches are a reshape of a grid.
struct Images {
  int64_t height = 0, width = 0, channels = 3;
  std::vector<uint8_t> pixels;          // (n, height, width, channels), row by row
  std::vector<int32_t> labels;          // n, each the number of a class
  std::vector<int32_t> coarse_labels;   // n, of sets that have them (cifar-100); else empty

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  int64_t pixels_each() const { return height * width * channels; }
  std::span<const uint8_t> image(int64_t i) const {
    return std::span(pixels).subspan(static_cast<size_t>(i * pixels_each()), static_cast<size_t>(pixels_each()));
  }
};

// Of each channel over all pixels, on the scale 0 … 1; the deviation divides by the number of pixels.
struct ChannelStatistics {
  std::vector<double> mean, deviation;
};

// What a run keeps of its images, so that it predicts where they are not.
struct ImageDescription {
  int64_t height = 0, width = 0, channels = 3;
  std::vector<std::string> classes, coarse_classes;   // coarse_classes empty: there are none
  ChannelStatistics statistics;                       // of the training part
  std::string train_sha256;                           // of that part (digest_of)
};

// Error that names `where`: a name is empty, no UTF-8, has a control character, which a terminal would obey, or is there twice.
void require_class_names(const std::vector<std::string>& names, const std::string& where);

struct ImageSpec {
  // Largest number of images that are kept of each part, from its start, of validation from that of each class in turn; 0 keeps
  // all. Synthetic parts have this size (0: 10,000 and twice 1,000).
  struct Limits {
    int64_t train = 0;
    int64_t valid = 0;
    int64_t test = 0;
  };

  std::string kind = "cifar-10";  // "cifar-10" | "cifar-100" | "folder" | "synthetic-shapes" | "synthetic-textures" |
                                  // "synthetic-triangle"

  // "folder" needs it. A folder with a folder of PNG and JPEG files for each class; or with the folders train, test and, if it
  // likes, valid, which have those, and no other folder. Classes may be called train and test where these have files.
  // For "cifar-10" and "cifar-100" a folder or a .tar.gz archive of the official files; empty: where the catalogue expects
  // them. Synthetic images have none.
  std::filesystem::path path;

  // Height and width of images of a folder (0: 32), whose middle square is resized; and of synthetic ones (0: 32, of
  // "synthetic-triangle" 64). Those of CIFAR are 32 × 32 (0 or 32).
  int64_t size = 0;
  Limits limits;
};

// Where the data have no validation part it is the last tenth of the training images of each class, ⌈n / 10⌉ of n in the order
// of the files: 5,000 images of CIFAR-10 and of CIFAR-100. A folder without parts gives its last tenth to the test so, then to
// validation.
struct ImageSet {
  Images train, valid, test;
  ImageDescription description;
  int64_t found = 0;   // images of all parts, before limits
};

// Reads (or draws) the images of `spec`. Statistics are those of the whole training part, before limits, or of `known`, as
// saved with a trained model: then the images must have its size and its classes, which keep its numbers whatever their order
// is here. Coarse classes likewise, where both have some; else there are no coarse labels.
// Errors: a field or folder that is not as above; a file that is missing, truncated or malformed; a class with fewer than 2
// images, or 3 where a folder has no parts; more images than fit into memory.
ImageSet read_images(const ImageSpec& spec, const ImageDescription* known = nullptr);

// The kind of what is at `place`, for a model that tells so many classes apart: "cifar-10" or "cifar-100" for a folder that has
// their test file, and for a file, which is an archive then, if the set has so many classes; else "folder".
std::string kind_at(const std::filesystem::path& place, int64_t classes);

ChannelStatistics channel_statistics(const Images& images);   // Error: no images

// SHA-256 of height, width, channels (8 bytes each, little-endian), labels and coarse labels (4 bytes each), pixels.
std::string digest_of(const Images& images);

// A description as JSON, with a SHA-256 of itself. `load` gives exactly what was saved. Errors name the file: it was cut or
// edited; a height or width outside [1, 1024]; channels or statistics of them other than 3; a mean outside [0, 1]; a deviation
// below 0; no class; names that require_class_names refuses; a train_sha256 that is none.
std::string description_text(const ImageDescription& description);
ImageDescription load_description(const std::filesystem::path& file);

}  // namespace tapir
