// Twicing attention in scalar loops on doubles, from the formulas of its paper, and its gradients by hand:
//
//   Y = A V,  R = V − Y,  O = Y + A R
//   dR = Aᵀ dO,  dY = dO − dR,  dV = dR + Aᵀ dY,  dA = dO Rᵀ + dY Vᵀ
#pragma once
#include "tests/mechanisms/reference_attention.h"

namespace tapir::reference {

inline Attention attend_twicing(const Sizes& n, const Values& q, const Values& k, const Values& v, const Values& g) {
  const DotProduct scores;
  const Values p = softmax(n, scores.scores(n, q, k)), y = mix(n, p, v);
  Values r = v;
  for (size_t i = 0; i < r.size(); ++i) r[i] -= y[i];
  Values o = mix(n, p, r);
  for (size_t i = 0; i < o.size(); ++i) o[i] += y[i];

  const Values dr = value_gradient(n, p, g);
  Values dy = g;
  for (size_t i = 0; i < dy.size(); ++i) dy[i] -= dr[i];
  Values dv = value_gradient(n, p, dy), de = score_gradient(n, p, r, g);
  const Values de_of_y = score_gradient(n, p, v, dy);
  for (size_t i = 0; i < dv.size(); ++i) dv[i] += dr[i];
  for (size_t i = 0; i < de.size(); ++i) de[i] += de_of_y[i];
  Attention result{o, scores.gradients(n, q, k, de)};
  result.gradients["v"] = dv;
  return result;
}

}  // namespace tapir::reference
