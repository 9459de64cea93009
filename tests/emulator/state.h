// Between the emulator's files.
#pragma once
#include <cstddef>
#include <string>

namespace emulator {

// Ends the launch from inside a thread of it, whose stack is left as it is: nothing on it may own memory then.
[[noreturn]] void fault(std::string message);
bool is_lost();
bool running();                                         // is a thread of a launch running?

void open_memory();    // for a launch or a copy, after the copies that were put off
void close_memory();   // whoever touches it now is the host
bool in_region(const void* address);

}  // namespace emulator
