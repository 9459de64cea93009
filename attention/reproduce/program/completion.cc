#include "attention/reproduce/program/completion.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace tapir {
namespace {

using Words = std::vector<std::string>;

Words options_of(const CLI::App& app) {
  Words words;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  return words;
}

Words commands_of(const CLI::App& app) {
  Words words;
  for (const CLI::App* command : app.get_subcommands({})) words.push_back(command->get_name());
  return words;
}

Words together(Words first, const Words& second) {
  for (const std::string& word : second)
    if (std::find(first.begin(), first.end(), word) == first.end()) first.push_back(word);
  return first;
}

struct Place {
  std::string path;   // "", "/data", "/data/list": commands
  Words words;        // that may follow them
};

void add_places(const CLI::App& app, const std::string& path, const Words& options_above, std::vector<Place>& all) {
  const Words options = together(options_above, options_of(app));
  all.push_back({path, together(commands_of(app), options)});
  for (const CLI::App* command : app.get_subcommands({}))
    add_places(*command, path + '/' + command->get_name(), options, all);
}

}  // namespace

std::vector<std::string> words_after(const CLI::App& app) {
  const std::vector<CLI::App*> given = app.get_subcommands();
  return together(options_of(app), given.empty() ? commands_of(app) : words_after(*given.front()));
}

std::string completion_script(const CLI::App& app, const std::string& shell) {
  std::vector<Place> places;
  add_places(app, "", {}, places);
  Words paths;
  std::string cases;
  for (const Place& place : places) {
    if (!place.path.empty()) paths.push_back(place.path);
    cases += fmt::format("    '{}') words='{}' ;;\n", place.path, fmt::join(place.words, " "));
  }
  return fmt::format(R"({2}_{0}() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" place="" word words
  for word in "${{COMP_WORDS[@]:1:$((COMP_CWORD - 1))}}"; do
    case "$place/$word" in
      {1}) place="$place/$word" ;;
    esac
  done
  case "$place" in
{3}  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$words" -X '-*' -- "$current")) ;;
  esac
}}
complete -o default -F _{0} {0}
)", app.get_name(), fmt::join(paths, "|"), shell == "zsh" ? "autoload -Uz bashcompinit && bashcompinit\n" : "", cases);
}

}  // namespace tapir
