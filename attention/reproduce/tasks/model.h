// Models as rows. A model takes named tensors of a batch (datasets/batch.h) and returns one output; its row and a task say what
// is taken and what is given, and a pair that does not fit is refused when it is made.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "datasets/batch.h"
#include "nn/fields.h"
#include "nn/models/image_shape.h"
#include "nn/token_mixer.h"

namespace tapir {

// What a model takes: tensors of these names.
enum class Takes {
  tokens,        // "tokens" i32 (B,T)
  coordinates,   // "coordinates" (B,d)
  image,         // "pixels" (B,H,W,Q), channels last
  function,      // "function" (B,n,Q): its values at n points, which stand at "places" (B,n,d)
  series         // "series" (B,T,Q): numbers of T samples, equally far apart
};

// What it gives.
enum class Gives {
  next_token,    // logits (B,T,V) of the token after each
  values,        // (B,n)
  classes,       // logits (B,n)
  pixel_classes, // logits (B,H,W,n), of each pixel
  function,      // (B,n,·): values of another function at the points
  states         // logits (B,T,·): what is so at each sample, questions of yes and no
};

const char* name_of(Takes takes);
const char* name_of(Gives gives);

// What a task has for a model, and wants of it.
struct ModelShape {
  Takes takes;
  Gives gives;
  int64_t vocabulary = 0;   // V, of tokens
  int64_t inputs = 0;       // of coordinates, d; of a function or a series, Q
  int64_t outputs = 0;      // of values or classes, of an image or a pixel, n; of a function, how many numbers it has at a point; of
                            // states, questions
  std::vector<double> mean{};   // n, of each value over what is learned; empty: not known before the training
  int64_t dimensions = 0;   // d, of the places of a function
  nn::ImageShape image{};   // H, W, Q
  int64_t samples = 0;      // T, of a series
};

struct Model {
  std::unique_ptr<nn::Module> net;
  std::function<Tensor(const Batch& batch, const nn::Call& call)> forward;
};

struct ModelRow {
  std::string name;    // [model] name
  std::string title;
  Takes takes;
  Gives gives;
  bool mixes;          // has token mixers, which [attention] chooses
  std::function<std::unique_ptr<nn::Options>()> options{};   // the other keys of [model]
  std::function<int64_t(const nn::Options&)> length{};     // most tokens of a sequence, of models that take tokens
  // Without weights. Throws Error for options of another row, and what the model throws.
  std::function<Model(const nn::Options& options, const ModelShape& shape, const nn::MixerMaker& mixer)> make{};
};

const ModelRow& model_row(const std::string& name);   // throws Error that lists those that exist
std::vector<std::string> model_names();
// Throws Error if the name is taken or is none (registry.h), something of the row is empty, or an option's key or default is
// not allowed.
void add_model(ModelRow row);

}  // namespace tapir
