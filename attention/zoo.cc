#include "attention/zoo.h"

#include "attention/mechanisms/additive.h"
#include "attention/mechanisms/associative.h"
#include "attention/mechanisms/attention_bn.h"
#include "attention/mechanisms/attention_sh.h"
#include "attention/mechanisms/care.h"
#include "attention/mechanisms/cosine.h"
#include "attention/mechanisms/dape.h"
#include "attention/mechanisms/delta_rule.h"
#include "attention/mechanisms/differential.h"
#include "attention/mechanisms/dnas.h"
#include "attention/mechanisms/dot_product.h"
#include "attention/mechanisms/expressive.h"
#include "attention/mechanisms/fast.h"
#include "attention/mechanisms/flatten.h"
#include "attention/mechanisms/galerkin.h"
#include "attention/mechanisms/gated_linear.h"
#include "attention/mechanisms/inter_token.h"
#include "attention/mechanisms/laplacian.h"
#include "attention/mechanisms/linear.h"
#include "attention/mechanisms/mlp_qkv.h"
#include "attention/mechanisms/score_mlp.h"
#include "attention/mechanisms/sigmoid.h"
#include "attention/mechanisms/twicing.h"
#include "attention/registry.h"

namespace tapir {
namespace {

Registry<Mechanism>& registry() {
  static Registry<Mechanism> all("zoo", "mechanism",
                                 {dot_product_row(), score_mlp_row(), additive_row(), expressive_row(), mlp_qkv_row(),
                                  twicing_row(), inter_token_row(), attention_bn_row(), attention_sh_row(), dnas_row(),
                                  dape_row(), cosine_row(), sigmoid_row(), differential_row(), associative_row(),
                                  linear_row(), fast_row(), flatten_row(), care_row(), laplacian_row(), galerkin_row(),
                                  fourier_row(), gated_linear_row(), delta_rule_row()});
  return all;
}

}  // namespace

const std::deque<Mechanism>& zoo() { return registry().rows(); }
std::vector<std::string> mechanism_names() { return registry().names(); }
const Mechanism& mechanism(const std::string& name) { return registry().at(name); }

void add_mechanism(Mechanism row) {
  require(row.claims && row.options && row.make, "zoo",
          [&] { return text("the row '", row.name, "' must have claims, options and make"); });
  nn::require_sound(text("zoo: ", row.name).c_str(), *row.options(), {"mechanism"});
  registry().add(std::move(row));
}

nn::Needs needs_of(const Mechanism& row, const nn::Options& options) {
  return row.make(options, {.width = 8, .heads = 2})->needs();
}

}  // namespace tapir
