// Dossiers: what a trial came to, to be kept beside the text that speaks of it. DIR/NAME.md is the page, DIR/NAME/ has its
// pictures and the logs of every run, which is all that the page is made from.
#pragma once
#include <filesystem>

#include "attention/reproduce/program/trial.h"

namespace tapir {

// Writes page and pictures of the runs below `folder`. Throws what trial_page throws.
void write_page(Trial& trial, const std::filesystem::path& page, const std::filesystem::path& folder);

// Copies from `runs` to `folder` what the page needs of every run that has ended: experiment, facts, logs, no weights. Returns
// how many have.
int64_t copy_logs(const std::filesystem::path& runs, const std::filesystem::path& folder);

}  // namespace tapir
