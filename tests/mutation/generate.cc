// Writes mutated copies of sources (mutate.h) and the table of their mutants.
//
//   mutation_generate derivatives|mechanisms ROOT FOLDER FILE…     reads ROOT/FILE, writes FOLDER/FILE and FOLDER/mutants
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

#include "tests/mutation/mutate.h"

using namespace tapir::mutation;

namespace {

std::string contents(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error(file.string() + " cannot be read");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write(const std::filesystem::path& file, const std::string& text) {
  if (std::filesystem::exists(file) && contents(file) == text) return;   // what has not changed is not compiled again
  std::filesystem::create_directories(file.parent_path());
  std::ofstream out(file);
  out << text;
  if (!out.flush()) throw std::runtime_error(file.string() + " cannot be written");
}

}  // namespace

int main(int argc, char** argv) try {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 4) throw std::runtime_error("usage: mutation_generate derivatives|mechanisms ROOT FOLDER FILE…");
  const bool of_zoo = arguments[0] == "mechanisms";
  const auto chosen = of_zoo ? of_mechanism : derivatives;
  const std::filesystem::path root = arguments[1], folder = arguments[2];
  std::string headers;
  std::vector<const char*> folders{"autograd/ops"};
  if (of_zoo) folders.push_back("attention/kernels");
  for (const char* declared : folders)
    for (const auto& file : std::filesystem::directory_iterator(root / declared))
      if (file.path().extension() == ".h") headers += contents(file.path());
  const TensorFunctions functions = tensor_functions(Source("*.h", headers));
  std::vector<Mutant> mutants;
  std::set<std::string> structs;
  for (size_t i = 3; i < arguments.size(); ++i) {
    const Source source(arguments[i], contents(root / arguments[i]));
    for (const Function& f : source.functions()) structs.insert(source.file() + ": " + f.owner);
    write(folder / arguments[i], mutate(source, chosen(source), functions, mutants));
  }
  if (!of_zoo)
    for (const std::string& listed : derivative_structs)
      if (!structs.contains(listed)) throw std::runtime_error(listed + " is listed as a derivative, and there is no such struct");
  std::string table;
  for (const Mutant& m : mutants) table += m.file + '\t' + m.function + '\t' + m.original + '\t' + m.mutated + '\n';
  write(folder / "mutants", table);
} catch (const std::exception& error) {
  std::cerr << "mutation_generate: " << error.what() << '\n';
  return 1;
}
