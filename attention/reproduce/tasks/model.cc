#include "attention/reproduce/tasks/model.h"

#include "attention/registry.h"
#include "nn/models/care_transformer.h"
#include "nn/models/fno.h"
#include "nn/models/implicit.h"
#include "nn/models/laplacian_former.h"
#include "nn/models/mlp.h"
#include "nn/models/operator_transformer.h"
#include "nn/models/resnet.h"
#include "nn/models/series_transformer.h"
#include "nn/models/transformer.h"
#include "nn/models/vision_transformer.h"

namespace tapir {
namespace {

// A net, and how a batch goes through it: forward(net, batch, call).
template <class Net, class Forward> Model model_of(std::unique_ptr<Net> net, Forward forward) {
  const Net* const own = net.get();
  return {std::move(net), [own, forward](const Batch& batch, const nn::Call& call) { return forward(*own, batch, call); }};
}

// The row of a model with options O; make(const O&, const ModelShape&, const nn::MixerMaker&) gives a Model.
template <class O, class Make> ModelRow row_of(ModelRow row, Make make) {
  row.options = [] { return std::make_unique<O>(); };
  row.make = [make, name = row.name](const nn::Options& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
    return make(options_of<O>("model", name, options), shape, mixer);
  };
  return row;
}

constexpr auto forward_pixels = [](const auto& net, const Batch& batch, const nn::Call& call) {
  return net.forward(batch.at("pixels"), call);
};
constexpr auto forward_coordinates = [](const auto& net, const Batch& batch, const nn::Call&) {
  return net.forward(batch.at("coordinates"));
};

ModelRow transformer_row() {
  ModelRow row = row_of<nn::TransformerOptions>(
      {.name = "transformer", .title = "decoder of tokens (Vaswani et al. 2017)", .takes = Takes::tokens,
       .gives = Gives::next_token, .mixes = true},
      [](nn::TransformerOptions own, const ModelShape& shape, const nn::MixerMaker& mixer) {
        own.vocabulary = shape.vocabulary;
        return model_of(std::make_unique<nn::LanguageModel>(own, mixer), [](const auto& net, const Batch& batch, const nn::Call& call) {
          return net.forward(batch.at("tokens"), call);
        });
      });
  row.length = [](const nn::Options& options) { return options_of<nn::TransformerOptions>("model", "transformer", options).context; };
  return row;
}

ModelRow mlp_row() {
  return row_of<nn::MlpOptions>(
      {.name = "mlp", .title = "multilayer perceptron", .takes = Takes::coordinates, .gives = Gives::values, .mixes = false},
      [](const nn::MlpOptions& options, const ModelShape& shape, const nn::MixerMaker&) {
        return model_of(std::make_unique<nn::Mlp>(options, shape.inputs, shape.outputs), forward_coordinates);
      });
}

ModelRow implicit_row() {
  return row_of<nn::ImplicitOptions>(
      {.name = "implicit", .title = "implicit representation of a signal by its coordinates (Sitzmann et al. 2020)",
       .takes = Takes::coordinates, .gives = Gives::values, .mixes = false},
      [](const nn::ImplicitOptions& options, const ModelShape& shape, const nn::MixerMaker&) {
        return model_of(std::make_unique<nn::Implicit>(options, shape.inputs, shape.outputs, shape.mean), forward_coordinates);
      });
}

ModelRow vit_row() {
  return row_of<nn::VisionTransformerOptions>(
      {.name = "vit", .title = "vision transformer (Dosovitskiy et al. 2021)", .takes = Takes::image, .gives = Gives::classes,
       .mixes = true},
      [](const nn::VisionTransformerOptions& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
        return model_of(std::make_unique<nn::VisionTransformer>(options, shape.image, shape.outputs, mixer), forward_pixels);
      });
}

ModelRow resnet_row() {
  return row_of<nn::ResNetOptions>(
      {.name = "resnet", .title = "residual network of convolutions, the control without attention (He et al. 2016)",
       .takes = Takes::image, .gives = Gives::classes, .mixes = false},
      [](const nn::ResNetOptions& options, const ModelShape& shape, const nn::MixerMaker&) {
        return model_of(std::make_unique<nn::ResNet>(options, shape.image, shape.outputs), forward_pixels);
      });
}

ModelRow care_transformer_row() {
  return row_of<nn::CareTransformerOptions>(
      {.name = "care_transformer", .title = "CARE Transformer: stages of convolutions and attention beside a memory (Zhou et al. 2024)",
       .takes = Takes::image, .gives = Gives::classes, .mixes = true},
      [](const nn::CareTransformerOptions& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
        return model_of(std::make_unique<nn::CareTransformer>(options, shape.image, shape.outputs, mixer), forward_pixels);
      });
}

ModelRow laplacian_former_row() {
  return row_of<nn::LaplacianFormerOptions>(
      {.name = "laplacian_former",
       .title = "Laplacian-Former: a class for each pixel, by blocks in the shape of a U (Azad et al. 2023)",
       .takes = Takes::image, .gives = Gives::pixel_classes, .mixes = true},
      [](const nn::LaplacianFormerOptions& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
        return model_of(std::make_unique<nn::LaplacianFormer>(options, shape.image, shape.outputs, mixer), forward_pixels);
      });
}

ModelRow operator_transformer_row() {
  return row_of<nn::OperatorTransformerOptions>(
      {.name = "operator_transformer", .title = "transformer between functions, decoded by spectral convolutions (Cao 2021)",
       .takes = Takes::function, .gives = Gives::function, .mixes = true},
      [](const nn::OperatorTransformerOptions& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
        return model_of(
            std::make_unique<nn::OperatorTransformer>(options, shape.inputs, shape.dimensions, shape.outputs, mixer),
            [](const auto& net, const Batch& batch, const nn::Call& call) {
              return net.forward(batch.at("function"), batch.at("places"), call);
            });
      });
}

ModelRow fno_row() {
  return row_of<nn::FnoOptions>(
      {.name = "fno", .title = "Fourier neural operator, the control without attention (Li et al. 2021)",
       .takes = Takes::function, .gives = Gives::function, .mixes = false},
      [](const nn::FnoOptions& options, const ModelShape& shape, const nn::MixerMaker&) {
        return model_of(std::make_unique<nn::Fno>(options, shape.inputs, shape.dimensions, shape.outputs),
                        [](const auto& net, const Batch& batch, const nn::Call&) {
                          return net.forward(batch.at("function"), batch.at("places"));
                        });
      });
}

ModelRow series_transformer_row() {
  return row_of<nn::SeriesTransformerOptions>(
      {.name = "series_transformer", .title = "encoder of a series, which judges each sample", .takes = Takes::series,
       .gives = Gives::states, .mixes = true},
      [](const nn::SeriesTransformerOptions& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
        return model_of(
            std::make_unique<nn::SeriesTransformer>(options, shape.samples, shape.inputs, shape.outputs, mixer),
            [](const auto& net, const Batch& batch, const nn::Call& call) { return net.forward(batch.at("series"), call); });
      });
}

Registry<ModelRow>& registry() {
  static Registry<ModelRow> all("model", "model", {transformer_row(), mlp_row(), implicit_row(), vit_row(), resnet_row(),
                                                   care_transformer_row(), laplacian_former_row(), operator_transformer_row(),
                                                   fno_row(), series_transformer_row()});
  return all;
}

}  // namespace

const char* name_of(Takes takes) {
  constexpr const char* names[] = {"tokens", "coordinates", "images", "functions", "series"};
  return names[static_cast<int>(takes)];
}

const char* name_of(Gives gives) {
  constexpr const char* names[] = {"the next token", "values", "classes", "classes of pixels", "functions", "states"};
  return names[static_cast<int>(gives)];
}

const ModelRow& model_row(const std::string& name) { return registry().at(name); }
std::vector<std::string> model_names() { return registry().names(); }

void add_model(ModelRow row) {
  require(row.options && row.make, "model", [&] { return text("the row '", row.name, "' must have options and make"); });
  nn::require_sound(text("model: ", row.name).c_str(), *row.options(), {"name"});
  registry().add(std::move(row));
}

}  // namespace tapir
