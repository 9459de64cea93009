// How many threads the loop engines (parallel.h) and matrix products use: at first, those of the machine.
#pragma once

namespace tapir {

void set_threads(int count);   // throws Error unless 1 ≤ count ≤ 1024
int threads();

}  // namespace tapir
