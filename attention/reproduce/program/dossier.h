// Dossiers: what a trial came to, to be kept beside the text that speaks of it. DIR/NAME.md is the page, DIR/NAME/ has its
// pictures and the logs of every run, which is all that the page is made from.
#pragma once
#include <filesystem>
#include <set>

#include "attention/reproduce/program/trial.h"

namespace tapir {

// Of the runs that the trial asks for, below `folder`.
std::set<std::filesystem::path> planned_folders(Trial& trial, const std::filesystem::path& folder);

// Writes page and pictures of the runs below `folder`. Throws what trial_page throws, and Error where two of them name the
// same data and have read other ones.
void write_page(Trial& trial, const std::filesystem::path& page, const std::filesystem::path& folder);

// Copies from `runs` to `folder` what the page needs of every run that has ended: experiment, facts, logs, no weights. Returns
// how many of those that the trial asks for have. Throws Error, before it copies anything, for a run that `folder` keeps where
// `runs` has another one or none, and for one that lacks something.
int64_t copy_logs(Trial& trial, const std::filesystem::path& runs, const std::filesystem::path& folder);

}  // namespace tapir
