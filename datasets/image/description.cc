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
    return {contents.at("height"), contents.at("width"), contents.at("channels"), names("classes"), names("coarse_classes"),
            {numbers("mean"), numbers("deviation")}, contents.at("train_sha256")};
  } catch (const json::exception& failure) {
    throw Error(file.string(), text("is no description of images: ", std::string_view(failure.what()).substr(0, 160)),
                saved_again);
  }
}

}  // namespace tapir
