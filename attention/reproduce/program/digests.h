// What a run's numbers come from beside its experiment: SHA-256 of its data, kept in the run folder when the run begins.
#pragma once
#include <filesystem>
#include <string>

#include "attention/reproduce/tasks/task.h"

namespace tapir {

inline const std::vector<std::string> all_parts{"train", "valid", "test"};

// What a run starts from: Task::digests of these parts, and "initial": of the file of initial weights, where there is one.
Task::Digests start_digests(const Task& task, const Experiment& experiment, const std::vector<std::string>& parts);

// Those that the facts file of a run has. Empty where there are none: of a task without data, or as an earlier version left it.
// Throws Error for a file that is malformed.
Task::Digests kept_digests(const std::filesystem::path& run);

// Of the criterion under which a run was begun (trial.h); "" without one. Throws the same.
std::string kept_trial(const std::filesystem::path& run);

// Those of `found` whose digest is another one in `kept`: "valid is 1f0c93ab27de, was 88d0a61c5e3b"; "" where there is none.
std::string differences(const Task::Digests& kept, const Task::Digests& found);

// Throws Error that names those of `found` which are not as the run folder keeps them.
void require_kept(const std::filesystem::path& run, const Task::Digests& found, const char* hint);

// Says on standard error that nobody can tell, where the folder keeps none of what was found.
void tell_unkept(const std::filesystem::path& run, const Task::Digests& found);

}  // namespace tapir
