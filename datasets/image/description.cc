#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "datasets/image/images.h"
#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "tensor/error.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

using nlohmann::json;

constexpr std::string_view saved_again = "copy the file again from the run that saved it";

json contents_of(const ImageDescription& description) {
  const ImageDescription& d = description;
  return {{"height", d.height},
          {"width", d.width},
          {"channels", d.channels},
          {"classes", d.classes},
          {"coarse_classes", d.coarse_classes},
          {"mean", d.statistics.mean},
          {"deviation", d.statistics.deviation},
          {"train_sha256", d.train_sha256}};
}

ImageDescription checked(ImageDescription d, const std::string& file) {
  constexpr int64_t most = 1024;   // of a folder's images, which are the largest
  require(std::min(d.height, d.width) >= 1 && std::max(d.height, d.width) <= most, file, [&] {
    return text("expected a height and a width in [1, ", most, "], found ", d.height, " and ", d.width);
  });
  const std::vector<double>&mean = d.statistics.mean, &deviation = d.statistics.deviation;
  require(d.channels == 3 && mean.size() == 3 && deviation.size() == 3, file, [&] {
    return text("expected 3 channels with a mean and a deviation each, found ", d.channels, ", ", mean.size(), " and ",
                deviation.size());
  });
  for (size_t c = 0; c < 3; ++c)
    require(mean[c] >= 0 && mean[c] <= 1 && deviation[c] >= 0 && std::isfinite(deviation[c]), file, [&] {
      return text("expected means in [0, 1] and deviations of at least 0, found ", mean[c], " and ", deviation[c]);
    });
  require(!d.classes.empty(), file, [] { return "has no class"; });
  require_class_names(d.classes, file);
  require_class_names(d.coarse_classes, file);
  require(d.train_sha256.size() == 64 && d.train_sha256.find_first_not_of("0123456789abcdef") == std::string::npos, file,
          [&] { return text("expected a SHA-256 of the training part, found ", shown(d.train_sha256)); });
  return d;
}

}  // namespace

std::string description_text(const ImageDescription& description) {
  json contents = contents_of(description);
  contents["sha256"] = sha256_hex(contents.dump());
  return contents.dump(1) + '\n';
}

ImageDescription load_description(const std::filesystem::path& file) {
  const std::string bytes = read_text_file(file);
  try {
    json contents = json::parse(bytes);
    const auto digest = contents.at("sha256").get<std::string>();
    contents.erase("sha256");
    const std::string expected = sha256_hex(contents.dump());
    const auto differs = [&] { return text("sha256 is ", shown(digest), ", expected ", expected); };
    require(digest == expected, file.string(), differs, saved_again);
    const auto numbers = [&](const char* key) { return contents.at(key).get<std::vector<double>>(); };
    const auto names = [&](const char* key) { return contents.at(key).get<std::vector<std::string>>(); };
    return checked({contents.at("height"), contents.at("width"), contents.at("channels"), names("classes"),
                    names("coarse_classes"), {numbers("mean"), numbers("deviation")}, contents.at("train_sha256")},
                   file.string());
  } catch (const json::exception& failure) {
    throw Error(file.string(), text("is no description of images: ", std::string_view(failure.what()).substr(0, 160)),
                saved_again);
  }
}

}  // namespace tapir
