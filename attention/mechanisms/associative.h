// Associative Transformer (Sun et al. 2023, arXiv 2309.12862): attention is the scaled dot product, and behind the feed-forward
// network stands a global workspace (attention/workspace.h), which sees the tokens of the whole batch:
//   z = LN(feed-forward(norm x)),  x ← x + z + workspace(z)
#pragma once
#include <memory>

#include "attention/mechanism.h"
#include "attention/workspace.h"

namespace tapir {

struct AssociativeOptions : WorkspaceOptions {
  std::string layer = "workspace";

  void fields(nn::FieldVisitor& visit) override {
    visit("layer", layer, "behind the feed-forward network; dense: the control, one more of those, with as many parameters",
          {"workspace", "dense"});
    WorkspaceOptions::fields(visit);
    visit.only(layer == "workspace", "layer = \"workspace\"",
               {"slots", "selected", "memory_rate", "residual", "write_dropout", "balance", "gradient", "read", "beta",
                "retrieval_steps"});
  }
};

std::unique_ptr<nn::TokenMixer> make_associative(const AssociativeOptions& options, const MixerShape& shape);
Mechanism associative_row();

}  // namespace tapir
