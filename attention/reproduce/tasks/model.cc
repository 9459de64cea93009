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

template <class O> const O& options_of(const char* row, const nn::Options& options) {
  const auto* const own = dynamic_cast<const O*>(&options);
  require(own != nullptr, "model", [&] { return text("these are not the options of '", row, "'"); },
          "take those that the row's options() makes");
  return *own;
}

ModelRow transformer_row() {
  return {
      .name = "transformer",
      .title = "decoder of tokens (Vaswani et al. 2017)",
      .takes = Takes::tokens,
      .gives = Gives::next_token,
      .mixes = true,
      .options = [] { return std::make_unique<nn::TransformerOptions>(); },
      .length = [](const nn::Options& options) { return options_of<nn::TransformerOptions>("transformer", options).context; },
      .make =
          [](const nn::Options& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
            nn::TransformerOptions own = options_of<nn::TransformerOptions>("transformer", options);
            own.vocabulary = shape.vocabulary;
            auto net = std::make_unique<nn::LanguageModel>(own, mixer);
            const nn::LanguageModel* const model = net.get();
            return Model{std::move(net), [model](const Batch& batch, const nn::Call& call) {
                           return model->forward(batch.at("tokens"), call);
                         }};
          }};
}

ModelRow mlp_row() {
  return {.name = "mlp",
          .title = "multilayer perceptron",
          .takes = Takes::coordinates,
          .gives = Gives::values,
          .mixes = false,
          .options = [] { return std::make_unique<nn::MlpOptions>(); },
          .make = [](const nn::Options& options, const ModelShape& shape, const nn::MixerMaker&) {
            auto net = std::make_unique<nn::Mlp>(options_of<nn::MlpOptions>("mlp", options), shape.inputs, shape.outputs);
            const nn::Mlp* const model = net.get();
            return Model{std::move(net), [model](const Batch& batch, const nn::Call&) {
                           return model->forward(batch.at("coordinates"));
                         }};
          }};
}

ModelRow implicit_row() {
  return {.name = "implicit",
          .title = "implicit representation of a signal by its coordinates (Sitzmann et al. 2020)",
          .takes = Takes::coordinates,
          .gives = Gives::values,
          .mixes = false,
          .options = [] { return std::make_unique<nn::ImplicitOptions>(); },
          .make = [](const nn::Options& options, const ModelShape& shape, const nn::MixerMaker&) {
            auto net = std::make_unique<nn::Implicit>(options_of<nn::ImplicitOptions>("implicit", options), shape.inputs,
                                                      shape.outputs, shape.mean);
            const nn::Implicit* const model = net.get();
            return Model{std::move(net), [model](const Batch& batch, const nn::Call&) {
                           return model->forward(batch.at("coordinates"));
                         }};
          }};
}

ModelRow vit_row() {
  return {.name = "vit",
          .title = "vision transformer (Dosovitskiy et al. 2021)",
          .takes = Takes::image,
          .gives = Gives::classes,
          .mixes = true,
          .options = [] { return std::make_unique<nn::VisionTransformerOptions>(); },
          .make = [](const nn::Options& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
            auto net = std::make_unique<nn::VisionTransformer>(options_of<nn::VisionTransformerOptions>("vit", options),
                                                               shape.image, shape.outputs, mixer);
            const nn::VisionTransformer* const model = net.get();
            return Model{std::move(net), [model](const Batch& batch, const nn::Call& call) {
                           return model->forward(batch.at("pixels"), call);
                         }};
          }};
}

ModelRow resnet_row() {
  return {.name = "resnet",
          .title = "residual network of convolutions, the control without attention (He et al. 2016)",
          .takes = Takes::image,
          .gives = Gives::classes,
          .mixes = false,
          .options = [] { return std::make_unique<nn::ResNetOptions>(); },
          .make = [](const nn::Options& options, const ModelShape& shape, const nn::MixerMaker&) {
            auto net = std::make_unique<nn::ResNet>(options_of<nn::ResNetOptions>("resnet", options), shape.image, shape.outputs);
            const nn::ResNet* const model = net.get();
            return Model{std::move(net), [model](const Batch& batch, const nn::Call& call) {
                           return model->forward(batch.at("pixels"), call);
                         }};
          }};
}

ModelRow care_transformer_row() {
  return {.name = "care_transformer",
          .title = "CARE Transformer: stages of convolutions and attention beside a memory (Zhou et al. 2024)",
          .takes = Takes::image,
          .gives = Gives::classes,
          .mixes = true,
          .options = [] { return std::make_unique<nn::CareTransformerOptions>(); },
          .make = [](const nn::Options& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
            auto net = std::make_unique<nn::CareTransformer>(
                options_of<nn::CareTransformerOptions>("care_transformer", options), shape.image, shape.outputs, mixer);
            const nn::CareTransformer* const model = net.get();
            return Model{std::move(net), [model](const Batch& batch, const nn::Call& call) {
                           return model->forward(batch.at("pixels"), call);
                         }};
          }};
}

ModelRow laplacian_former_row() {
  return {.name = "laplacian_former",
          .title = "Laplacian-Former: a class for each pixel, by blocks in the shape of a U (Azad et al. 2023)",
          .takes = Takes::image,
          .gives = Gives::pixel_classes,
          .mixes = true,
          .options = [] { return std::make_unique<nn::LaplacianFormerOptions>(); },
          .make = [](const nn::Options& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
            auto net = std::make_unique<nn::LaplacianFormer>(
                options_of<nn::LaplacianFormerOptions>("laplacian_former", options), shape.image, shape.outputs, mixer);
            const nn::LaplacianFormer* const model = net.get();
            return Model{std::move(net), [model](const Batch& batch, const nn::Call& call) {
                           return model->forward(batch.at("pixels"), call);
                         }};
          }};
}

ModelRow operator_transformer_row() {
  return {.name = "operator_transformer",
          .title = "transformer between functions, decoded by spectral convolutions (Cao 2021)",
          .takes = Takes::function,
          .gives = Gives::function,
          .mixes = true,
          .options = [] { return std::make_unique<nn::OperatorTransformerOptions>(); },
          .make = [](const nn::Options& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
            auto net = std::make_unique<nn::OperatorTransformer>(
                options_of<nn::OperatorTransformerOptions>("operator_transformer", options), shape.inputs, shape.dimensions,
                shape.outputs, mixer);
            const nn::OperatorTransformer* const model = net.get();
            return Model{std::move(net), [model](const Batch& batch, const nn::Call& call) {
                           return model->forward(batch.at("function"), batch.at("places"), call);
                         }};
          }};
}

ModelRow fno_row() {
  return {.name = "fno",
          .title = "Fourier neural operator, the control without attention (Li et al. 2021)",
          .takes = Takes::function,
          .gives = Gives::function,
          .mixes = false,
          .options = [] { return std::make_unique<nn::FnoOptions>(); },
          .make = [](const nn::Options& options, const ModelShape& shape, const nn::MixerMaker&) {
            auto net = std::make_unique<nn::Fno>(options_of<nn::FnoOptions>("fno", options), shape.inputs, shape.dimensions,
                                                 shape.outputs);
            const nn::Fno* const model = net.get();
            return Model{std::move(net), [model](const Batch& batch, const nn::Call&) {
                           return model->forward(batch.at("function"), batch.at("places"));
                         }};
          }};
}

ModelRow series_transformer_row() {
  return {.name = "series_transformer",
          .title = "encoder of a series, which judges each sample",
          .takes = Takes::series,
          .gives = Gives::states,
          .mixes = true,
          .options = [] { return std::make_unique<nn::SeriesTransformerOptions>(); },
          .make = [](const nn::Options& options, const ModelShape& shape, const nn::MixerMaker& mixer) {
            auto net = std::make_unique<nn::SeriesTransformer>(
                options_of<nn::SeriesTransformerOptions>("series_transformer", options), shape.samples, shape.inputs,
                shape.outputs, mixer);
            const nn::SeriesTransformer* const model = net.get();
            return Model{std::move(net), [model](const Batch& batch, const nn::Call& call) {
                           return model->forward(batch.at("series"), call);
                         }};
          }};
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
