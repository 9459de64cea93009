#include "tensor/precision.h"

namespace tapir {
namespace {

Precision current = Precision::f32;

}  // namespace

void set_precision(Precision precision) { current = precision; }

Precision precision() { return current; }

}  // namespace tapir
