#include "nn/files/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "nn/files/atomic_file.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

using Json = nlohmann::json;

int64_t bytes_of(const Tensor& tensor) { return tensor.elements() * size_of(tensor.dtype()); }

std::byte* data_of(const Tensor& tensor) {
  return with_type(tensor.dtype(), [&](auto zero) { return reinterpret_cast<std::byte*>(tensor.data<decltype(zero)>()); });
}

void check_tensors(const std::string& file, const std::vector<NamedTensor>& tensors) {
  std::set<std::string_view> names;
  for (const NamedTensor& named : tensors) {
    const std::string& name = named.name;
    require(name != "__metadata__", file, [] { return "\"__metadata__\" cannot be a tensor's name"; });
    require(names.insert(name).second, file, [&] { return text("tensor ", quoted_name(name), " is given twice"); });
    require(named.tensor.defined(), file, [&] { return text("tensor ", quoted_name(name), " has no value"); });
  }
}

// Positions in the order of the data.
std::vector<size_t> data_order(const std::vector<NamedTensor>& tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return size_of(tensors[a].tensor.dtype()) > size_of(tensors[b].tensor.dtype());
  });
  return order;
}

// The 8 bytes of length and the JSON, padded with spaces to a multiple of 8.
std::string header_of(const std::string& file, const std::vector<NamedTensor>& tensors, const std::vector<size_t>& order,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<int64_t> begins(tensors.size());
  int64_t end = 0;
  for (size_t i : order) {
    begins[i] = end;
    end += bytes_of(tensors[i].tensor);
  }
  std::string json = "{";
  try {
    if (!metadata.empty()) json += text("\"__metadata__\":", Json(metadata).dump());
    for (size_t i = 0; i < tensors.size(); ++i) {
      const auto& [name, tensor] = tensors[i];
      const Json info = {{"dtype", safetensors_name(tensor.dtype())},
                         {"shape", std::vector<int64_t>(tensor.shape().begin(), tensor.shape().end())},
                         {"data_offsets", {begins[i], begins[i] + bytes_of(tensor)}}};
      json += text(json.size() == 1 ? "" : ",", Json(name).dump(), ':', info.dump());
    }
  } catch (const Json::type_error&) {
    throw Error(file, "names of tensors and metadata must be valid UTF-8");
  }
  json += '}';
  json.resize((json.size() + 7) / 8 * 8, ' ');
  require(json.size() <= SafeTensorsHeader::max_bytes, file, [&] {
    return text("header of ", json.size(), " bytes, the format allows ", SafeTensorsHeader::max_bytes);
  });
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json;
}

}  // namespace

FileDigest save_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                            const std::map<std::string, std::string>& metadata) {
  check_tensors(path.string(), tensors);
  const std::vector<size_t> order = data_order(tensors);
  AtomicFile file(path);
  Sha256 sha;
  FileDigest digest;
  const auto write = [&](std::span<const std::byte> bytes) {
    file.write(bytes);
    sha.update(bytes);
    digest.bytes += static_cast<int64_t>(bytes.size());
  };
  const std::string header = header_of(path.string(), tensors, order, metadata);
  write(std::as_bytes(std::span(header)));
  for (size_t i : order) {
    const Tensor dense = tensors[i].tensor.contiguous().to(Device::cpu);
    write({data_of(dense), static_cast<size_t>(bytes_of(dense))});
  }
  file.commit();
  digest.sha256 = sha.hex();
  return digest;
}

SafeTensors::SafeTensors(const std::filesystem::path& path)
    : path_(path.string()), file_(path), header_(parse_safetensors_header(path_, file_.bytes())) {}

SafeTensors load_safetensors(const std::filesystem::path& path) { return SafeTensors(path); }

std::vector<std::string> SafeTensors::names() const {
  std::vector<std::string> names;
  for (const auto& entry : header_.entries) names.push_back(entry.name);
  return names;
}

Tensor SafeTensors::tensor(std::string_view name) const {
  const auto found = header_.index.find(name);
  require(found != header_.index.end(), path_,
          [&] { return text("has no tensor ", quoted_name(name), " among its ", header_.entries.size()); });
  return read(header_.entries[found->second]);
}

std::vector<NamedTensor> SafeTensors::tensors() const {
  std::vector<NamedTensor> tensors;
  for (const auto& entry : header_.entries) tensors.push_back({entry.name, read(entry)});
  return tensors;
}

Tensor SafeTensors::read(const SafeTensorsHeader::Entry& entry) const {
  const Tensor tensor = Tensor::empty(entry.shape, entry.type, Device::cpu);
  if (entry.end > entry.begin)
    std::memcpy(data_of(tensor), file_.bytes().data() + header_.data_begin + entry.begin,
                static_cast<size_t>(entry.end - entry.begin));
  return tensor;
}

}  // namespace tapir
