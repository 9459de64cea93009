#include "attention/zoo.h"

#include "attention/mechanisms/additive.h"
#include "attention/mechanisms/dot_product.h"
#include "attention/mechanisms/expressive.h"
#include "attention/mechanisms/linear.h"
#include "attention/mechanisms/mlp_qkv.h"
#include "attention/mechanisms/score_mlp.h"
#include "attention/mechanisms/twicing.h"
#include "attention/registry.h"

namespace tapir {
namespace {

Registry<Mechanism>& registry() {
  static Registry<Mechanism> all("zoo", "mechanism",
                                 {dot_product_row(), score_mlp_row(), additive_row(), expressive_row(), mlp_qkv_row(),
                                  twicing_row(), linear_row()});
  return all;
}

}  // namespace

const std::deque<Mechanism>& zoo() { return registry().rows(); }
const Mechanism& mechanism(const std::string& name) { return registry().at(name); }
void add_mechanism(Mechanism row) { registry().add(std::move(row)); }

}  // namespace tapir
