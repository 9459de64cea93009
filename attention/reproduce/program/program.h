// The program `tapir` as a function, for programs of one's own: what they add to the zoo (attention/zoo.h), to the tasks
// (tasks/task_row.h) and to the models (tasks/model.h) has all commands.
#pragma once

namespace tapir {

// Trains, evaluates and proves what is in the zoo, as the arguments say; returns the exit status. To be called once, first of
// all: it takes charge of the standard streams.
int program_main(int argc, char** argv);

}  // namespace tapir
