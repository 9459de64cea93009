// Tensors in a file: the safetensors format, which the usual frameworks read and write. Format and rules:
// nn/files/safetensors_header.h.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "nn/files/mapped_file.h"
#include "nn/files/safetensors_header.h"
#include "tensor/tensor.h"

namespace tapir {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

struct FileDigest {
  int64_t bytes = 0;
  std::string sha256;   // hexadecimal
  bool operator==(const FileDigest&) const = default;
};

// Writes the file as a whole or not at all (nn/files/atomic_file.h); equal input gives equal bytes. The header keeps the
// given order; the data go by descending element size, so that each tensor is aligned in a mapped file. Returns the
// digest of what was written. Throws Error for an undefined tensor, a name that occurs twice, is "__metadata__" or is not
// UTF-8, and for failures of the file system.
FileDigest save_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                            const std::map<std::string, std::string>& metadata = {});

// A file that has passed every rule of the format. It stays mapped as long as this lives.
class SafeTensors {
 public:
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  std::vector<std::string> names() const;   // in the order of the file's header
  bool contains(std::string_view name) const { return header_.index.contains(name); }
  Tensor tensor(std::string_view name) const;   // a copy of its bytes. Throws Error if there is no such tensor
  std::vector<NamedTensor> tensors() const;     // all of them, in the order of names()

 private:
  explicit SafeTensors(const std::filesystem::path& path);
  Tensor read(const SafeTensorsHeader::Entry& entry) const;
  friend SafeTensors load_safetensors(const std::filesystem::path& path);

  std::string path_;
  MappedFile file_;
  SafeTensorsHeader header_;
};

// Throws an Error that names the file, the tensor or byte, what was expected and what was found.
SafeTensors load_safetensors(const std::filesystem::path& path);

}  // namespace tapir
