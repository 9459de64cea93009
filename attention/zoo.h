// The zoo: the registry of mechanisms. One hand-written table (zoo.cc), open to rows that a program adds at run time.
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "attention/mechanism.h"

namespace tapir {

const std::deque<Mechanism>& zoo();        // a row keeps its address when others are added
std::vector<std::string> mechanism_names();
const Mechanism& mechanism(const std::string& name);   // throws Error that lists those that exist
// Throws Error if the name is taken or is none (registry.h), something of the row is empty, or an option's key or default is
// not allowed.
void add_mechanism(Mechanism row);

nn::Needs needs_of(const Mechanism& row, const nn::Options& options);   // of its mixers

}  // namespace tapir
