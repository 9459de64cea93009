// The page of a trial, Markdown with pictures: made from the logs of its runs alone, so that it comes out the same again.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "attention/reproduce/program/ruling.h"

namespace tapir {

struct TrialPage {
  std::string text;
  std::map<std::string, std::string> pictures;   // SVG by name of file
  Verdict verdict;
};

// Of the runs below `folder`. `below`: where the text has the pictures, "" or ending with '/'. Throws what results_in throws.
TrialPage trial_page(Trial& trial, const std::filesystem::path& folder, const std::string& below);

}  // namespace tapir
