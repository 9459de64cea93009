// Weights of a model by full name: in files, in checkpoints, as a digest.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "nn/files/safetensors.h"
#include "nn/module.h"

namespace tapir {

// Throws NotFinite, and writes nothing, when a weight is not finite.
void save_weights(const std::filesystem::path& path, const nn::Module& model);

// Writes the file's values, of a checkpoint those of its model, into the parameters of an initialised model, converting
// between f32 and f64. Throws an Error that names the parameter which is missing, left over, of another shape, or not finite;
// the model is untouched then.
void load_weights(const std::filesystem::path& path, nn::Module& model);

// The same from tensors in memory; `where` names the caller in errors.
void assign_weights(const char* where, nn::Module& model, const std::vector<NamedTensor>& values);
void assign(const char* where, const std::vector<std::pair<std::string, Tensor>>& targets,
            const std::vector<NamedTensor>& values);

// SHA-256 over names, shapes, element types and bytes of all parameters.
std::string weights_digest(const nn::Module& model);

}  // namespace tapir
