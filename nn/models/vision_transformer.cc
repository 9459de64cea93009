#include "nn/models/vision_transformer.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "nn/layers/waves.h"

namespace tapir::nn {
namespace {

constexpr const char* name = "vision transformer";
constexpr double deviation = 0.02;   // of initial weights, as in the paper's code

Places grid_of(const VisionTransformerOptions& options, const ImageShape& image) {
  require_allowed(name, options);
  require(
      image.height > 0 && image.width > 0 && image.channels > 0 && image.height % options.patch == 0 &&
          image.width % options.patch == 0,
      name,
      [&] {
        return text("patches of ", options.patch, " × ", options.patch, " do not tile images of ", image.height, " × ", image.width);
      },
      "choose another model.patch, or another size of the images");
  return {.kind = Places::Kind::grid,
          .class_tokens = options.pool == "class" ? 1 : 0,
          .rows = image.height / options.patch,
          .columns = image.width / options.patch};
}

}  // namespace

Tensor grid_waves(int64_t rows, int64_t columns, int64_t width) {
  require(width % 4 == 0, "grid_waves", [&] { return text("the width ", width, " is not a multiple of 4"); },
          "sine and cosine of row and column share the channels");
  std::vector<double> table;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column)
      for (const int64_t place : {row, column}) {
        const std::vector<double> waves = wave_vector(place, width / 2);
        table.insert(table.end(), waves.begin(), waves.end());
      }
  return Tensor::from(table, {rows * columns, width}, Device::cpu);
}

VisionTransformer::VisionTransformer(const VisionTransformerOptions& o, const ImageShape& image, int64_t classes,
                                     const MixerMaker& mixer)
    : image_(image), places_(grid_of(o, image)),
      stem_(adopt(o.stem == "patch" ? "patches" : "stem", make_stem(o.stem, image.channels, o.patch, o.width))),
      class_token_(places_.class_tokens
                       ? &parameter("class_token", {o.width}, ParameterKind::embedding, Init::normal(deviation))
                       : nullptr),
      positions_(o.positions == "learned" ? &parameter("positions", {places_.tokens(), o.width}, ParameterKind::embedding,
                                                       Init::normal(deviation))
                                          : nullptr),
      waves_(o.positions == "sinusoidal" ? grid_waves(places_.rows, places_.columns, o.width) : Tensor()),
      dropout_(child<Dropout>("dropout", o.dropout)),
      blocks_(child<Blocks>("blocks", name, o,
                            MixerShape{.length = places_.tokens(),
                                       .places = places_,
                                       .positions = o.positions == "rotary" ? Positions::rotary : Positions::none},
                            mixer)),
      norm_(adopt("norm", norm_of(o))),
      head_(child<Linear>("head", o.width, classes, true, Init::normal(deviation), Init::constant(0), ParameterKind::head)) {}

Tensor VisionTransformer::forward(const Tensor& pixels, const Call& call) const {
  const Scope scope = enter();
  const Shape expected{pixels.rank() ? pixels.size(0) : 0, image_.height, image_.width, image_.channels};
  require(pixels.shape() == expected, name, [&] {
    return text("pixels must be (B,", image_.height, ",", image_.width, ",", image_.channels, "), got ", pixels.shape());
  });
  Tensor x = stem_.forward(pixels, call);
  if (waves_.defined()) x = add(x, waves_.to(x.dtype()).to(x.device()));
  if (class_token_) {
    const int64_t width = x.size(2);
    x = concat({expand(reshape(class_token_->value, {1, 1, width}), {x.size(0), 1, width}), x}, 1);
  }
  if (positions_) x = add(x, positions_->value);
  if (call.records("grid"))
    call.record("grid", Tensor::from(std::vector<int32_t>{static_cast<int32_t>(places_.class_tokens),
                                                          static_cast<int32_t>(places_.rows),
                                                          static_cast<int32_t>(places_.columns)}, {3}, Device::cpu));
  x = norm_.forward(blocks_.forward(dropout_.forward(x, call), call));
  const Tensor read = class_token_ ? reshape(slice(x, 1, 0, 1), {x.size(0), x.size(2)}) : mean(x, 1);
  return leave(head_.forward(read), pixels);
}

}  // namespace tapir::nn
