// Declares the targets, each beside its like. What their bytes are is said there.
#pragma once
#include <string_view>

namespace tapir::fuzz {

void utf8(std::string_view bytes);             // text.cc
void text_file(std::string_view bytes);
void corpus(std::string_view bytes);
void tokens(std::string_view bytes);           // tokenizers.cc
void entries(std::string_view bytes);
void tokenizer_file(std::string_view bytes);
void gpt2(std::string_view bytes);
void safetensors(std::string_view bytes);      // training_files.cc
void manifest(std::string_view bytes);
void metrics(std::string_view bytes);
void config(std::string_view bytes);           // experiments.cc
void assignment(std::string_view bytes);
void run_folder(std::string_view bytes);
void comparison(std::string_view bytes);
void shapes(std::string_view bytes);           // shapes.cc
void cifar(std::string_view bytes);            // images.cc
void archive(std::string_view bytes);
void image(std::string_view bytes);
void description(std::string_view bytes);

}  // namespace tapir::fuzz
