// Positions: how attention itself takes the places of tokens into account. Query t stands at mask.offset + t, key s at s.
#pragma once
#include <utility>

namespace tapir::nn {

enum class Positions {
  none,     // not at all; vectors of the places may have been added to the tokens
  rotary,   // queries and keys are turned by angles proportional to their places                    Su et al. 2021
            // on a grid half of the channels by the row, half by the column; class tokens are not turned

  // A bias of the scores:
  alibi,        // falls linearly with the distance                                                  Press et al. 2021
  kerple_log,   // falls with its logarithm, as each head learns                                     Chi et al. 2022
  fire,         // is a learned function of the distance as a share of what the query can look back  Li et al. 2023
  t5            // is a number that each head learns for each range of distances                     Raffel et al. 2020
};

// Each by its name in experiment files.
inline constexpr std::pair<Positions, const char*> all_positions[] = {
    {Positions::none, "none"},   {Positions::rotary, "rotary"}, {Positions::alibi, "alibi"},
    {Positions::kerple_log, "kerple_log"}, {Positions::fire, "fire"}, {Positions::t5, "t5"}};

constexpr const char* name_of(Positions positions) {
  for (const auto& [each, name] : all_positions)
    if (each == positions) return name;
  return "";
}

constexpr bool is_bias(Positions positions) { return positions != Positions::none && positions != Positions::rotary; }
constexpr bool has_parameters(Positions positions) { return is_bias(positions) && positions != Positions::alibi; }

}  // namespace tapir::nn
