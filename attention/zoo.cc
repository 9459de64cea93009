#include "attention/zoo.h"

#include "attention/mechanisms/additive.h"
#include "attention/mechanisms/dot_product.h"
#include "attention/mechanisms/expressive.h"
#include "attention/mechanisms/mlp_qkv.h"
#include "attention/mechanisms/score_mlp.h"

namespace tapir {
namespace {

std::deque<Mechanism>& rows() {
  static std::deque<Mechanism> table{dot_product_row(), score_mlp_row(), additive_row(), expressive_row(), mlp_qkv_row()};
  return table;
}

}  // namespace

const std::deque<Mechanism>& zoo() { return rows(); }

const Mechanism& mechanism(const std::string& name) {
  std::string known;
  for (const Mechanism& row : rows()) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + row.name;
  }
  throw Error("zoo", text("there is no mechanism '", name, "'; those that exist: ", known));
}

void add_mechanism(Mechanism row) {
  for (const Mechanism& known : rows())
    require(known.name != row.name, "zoo", [&] { return text("the name '", row.name, "' is taken by ", known.title); });
  rows().push_back(std::move(row));
}

}  // namespace tapir
