// Generated text: articles about animals that never lived, in the format of WikiText, for work without any download.
//
// There is something to learn at every distance: verbs agree with their subject across a relative clause whose noun has the
// other number; the pronoun of an article fits its animal; the name, the town, the friend, and the number of things that
// the first sentence states come back in every section; now and then a word is <unk>.
#pragma once
#include <cstdint>
#include <string>

namespace tapir {

// Whole articles until they have at least `tokens` words and line ends. The same seed gives the same bytes everywhere.
// Error: tokens < 1.
std::string generated_articles(uint64_t seed, int64_t tokens);

}  // namespace tapir
