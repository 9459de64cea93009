// Every row of the zoo keeps its claims, and the proofs reject mixers that break them.
#include <doctest/doctest.h>

#include <algorithm>

#include "attention/claims.h"
#include "attention/mechanisms/dot_product.h"
#include "attention/recurrent_attention.h"
#include "autograd/hooks.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "nn/models/transformer.h"
#include "tests/mechanisms/oracle.h"

using namespace tapir;

namespace {

// A row with the claims of dot_product for a mixer without options.
template <class Mixer>
Mechanism row_of(const std::string& name) {
  return {.name = name, .title = "of the tests", .paper = "none", .equation = "", .cost = "",
          .claims = always(mechanism("dot_product").claims(*mechanism("dot_product").options())),
          .options = [] { return std::make_unique<nn::Options>(); },
          .make = [](const nn::Options&, const MixerShape& shape) { return std::make_unique<Mixer>(shape); }};
}

// Exactly `claims` fail, the first of them with these words.
template <class Mixer>
void check_rejected(const std::vector<std::string>& claims, const std::string& words) {
  const Mechanism row = row_of<Mixer>("violator");
  for (const Proof& proof : prove(row, *row.options(), 3)) {
    CAPTURE(proof.claim);
    CAPTURE(proof.evidence);
    CHECK(proof.holds == (std::find(claims.begin(), claims.end(), proof.claim) == claims.end()));
    if (proof.claim == claims[0]) CHECK(contains_text(proof.evidence, words));
  }
}

// ---- mixers that break one promise each ----------------------------------------------------------------

struct SeesTheFuture : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor weights(const Tensor& E, const Tensor&, const nn::Call& call) const override {
    return softmax(E, {.causal = false, .offset = 0, .keys = call.mask.keys});
  }
};

// Only the derivative looks ahead: y − y adds nothing to the value.
struct GradientSeesTheFuture : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor mix(const Tensor& A, const Tensor& V, const nn::Call& call) const override {
    const Tensor last = slice(V, 2, V.size(2) - 1, 1), y = StagedAttention::mix(A, V, call);
    return add(y, sub(last, last.detach()));
  }
};

struct SumsToMore : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor weights(const Tensor& E, const Tensor&, const nn::Call& call) const override {
    return affine(softmax(E, call.mask), 1 + 1e-11, 0);
  }
};

// Differences of two softmax rows plus one: they sum to 1, but some are negative.
struct NegativeWeights : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor weights(const Tensor& E, const Tensor&, const nn::Call& call) const override {
    return sub(affine(softmax(E, call.mask), 2, 0), softmax(affine(E, -1, 0), call.mask));
  }
};

struct PrefersEarlyKeys : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const override {
    std::vector<double> place(K.size(2));
    for (size_t s = 0; s < place.size(); ++s) place[s] = -0.01 * static_cast<double>(s);
    return add(StagedAttention::scores(Q, K, call), Tensor::from(place));
  }
};

struct IgnoresPadding : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor weights(const Tensor& E, const Tensor&, const nn::Call& call) const override {
    return softmax(E, {.causal = call.mask.causal, .offset = call.mask.offset, .keys = {}});
  }
};

// Where a row has no keys too: y − y adds nothing to the value.
struct AnswersToNobody : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor mixed(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, Cache* cache) const override {
    return add(StagedAttention::mixed(Q, K, V, call, cache), sub(Q, Q.detach()));
  }
};

struct WrongGradient : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const override {
    const Tensor e = StagedAttention::scores(Q, K, call);
    return sub(affine(e, 1 + 1e-4, 0), affine(e.detach(), 1e-4, 0));   // the value of e, 1.0001 of its gradient
  }
};

struct NoQueryGradient : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const override {
    return StagedAttention::scores(Q.detach(), K, call);
  }
};

// e² / 4 with the right gradient e / 2, of which only the constant is differentiated again.
struct WrongDoubleGradient : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const override {
    const Tensor e = StagedAttention::scores(Q, K, call), constant = e.detach();
    return affine(sub(affine(mul(e, constant), 2, 0), mul(constant, constant)), 0.25, 0);
  }
};

// Scores 0 or 1: their derivative is 0, whatever the query and key weights do.
struct StepScores : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const override {
    std::vector<double> steps = StagedAttention::scores(Q, K, call).values<double>();
    for (double& e : steps) e = e > 0;
    return Tensor::from(steps, {Q.size(0), Q.size(1), Q.size(2), K.size(2)});
  }
};

// ∞ in one element of the values.
struct InfiniteValue : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor mix(const Tensor& A, const Tensor& V, const nn::Call& call) const override {
    const Tensor y = StagedAttention::mix(A, V, call);
    std::vector<double> planted(y.size(-1), 0.0);
    planted[0] = HUGE_VAL;
    return add(y, Tensor::from(planted));
  }
};

// ∞ in one element of each gradient of the scores.
struct InfiniteGradient : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const override {
    const Tensor e = identity(StagedAttention::scores(Q, K, call));
    if (e.node)
      alive.push_back(on_gradient(e, [](const Tensor& g) {
        std::vector<double> planted(g.elements(), 0.0);
        planted[0] = HUGE_VAL;
        return add(g, Tensor::from(planted, g.shape()));
      }));
    return e;
  }
  mutable std::vector<GradientHandle> alive;
};

// Token by token it forgets what it read before.
struct Forgets : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor mixed(const Tensor& Q, const Tensor& K, const Tensor& V, const nn::Call& call, Cache* cache) const override {
    const int64_t T = Q.size(2), begin = cache ? K.size(2) - T : 0;
    nn::Call own = call;
    if (cache) own.mask.offset = 0;
    return StagedAttention::mixed(Q, slice(K, 2, begin, K.size(2) - begin), slice(V, 2, begin, V.size(2) - begin), own, cache);
  }
};

struct HasNoState : StagedAttention {
  using StagedAttention::StagedAttention;
  std::unique_ptr<nn::MixerState> empty_state() const override { return nullptr; }
};

// Values lose their mean over the batch.
struct LooksAtTheBatch : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor mix(const Tensor& A, const Tensor& V, const nn::Call& call) const override {
    return StagedAttention::mix(A, sub(V, affine(mean(V, 0, true), 1e-12, 0)), call);
  }
};

// Scores lose their mean over all queries, in training alone.
struct LeaksInTraining : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor scores(const Tensor& Q, const Tensor& K, const nn::Call& call) const override {
    const Tensor e = StagedAttention::scores(Q, K, call);
    return call.training ? sub(e, mean(e, 2, true)) : e;
  }
};

struct NeedsAllTokens : StagedAttention {
  using StagedAttention::StagedAttention;
  nn::Needs needs() const override { return {.all_tokens = true}; }
};

struct IgnoresBias : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor weights(const Tensor& E, const Tensor&, const nn::Call& call) const override { return softmax(E, call.mask); }
};

struct IgnoresRotary : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor placed(const Tensor& x, int64_t, const nn::Call&) const override { return x; }
};

struct BeginsAtZero : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor placed(const Tensor& x, int64_t, const nn::Call& call) const override { return StagedAttention::placed(x, 0, call); }
};

struct ThrowsOther : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor scores(const Tensor&, const Tensor&, const nn::Call&) const override {
    throw std::runtime_error("trouble of its own");
  }
};

struct Throws : StagedAttention {
  using StagedAttention::StagedAttention;
  Tensor scores(const Tensor&, const Tensor&, const nn::Call&) const override { throw Error("broken", "no scores today"); }
};

}  // namespace

TEST_CASE("zoo: every row keeps its claims with its default options") {
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    const std::vector<Proof> proofs = prove(row, *row.options(), 1);
    check_all_hold(proofs);
    const Claims claims = row.claims(*row.options());
    size_t made = claims.causal ? 3 : 2;   // positions and the gradients
    for (const auto& [name, claim] : all_claims) made += claims.*claim && name != std::string("exact");
    CHECK(proofs.size() == made);
    const auto mixer = row.make(*row.options(), {.width = 8, .heads = 2});
    const std::string& evidence = proof_of(proofs, "gradient").evidence;
    for (const auto& named : parameters_of(*mixer)) CHECK(contains_text(evidence, named.first));
    for (const std::string name : {"x", "context", "query", "key", "value", "out"})
      if (name != "context" || !needs_of(row, *row.options()).self) CHECK(contains_text(evidence, name));
  }
}

TEST_CASE("zoo: proofs are functions of their arguments") {
  const Mechanism& row = mechanism("score_mlp");
  const auto proofs = [&](uint64_t seed) { return prove(row, *row.options(), seed); };
  const std::vector<Proof> a = proofs(5), b = proofs(5), c = proofs(6);
  for (size_t i = 0; i < a.size(); ++i) CHECK(a[i].evidence == b[i].evidence);
  CHECK(proof_of(a, "gradient").evidence != proof_of(c, "gradient").evidence);
}

TEST_CASE("zoo: a row claims `exact`") {   // and has scalar loops (test_references.cc)
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    CHECK(row.claims(*row.options()).exact);
  }
}

TEST_CASE("zoo: a leak from the future is rejected, in the value and in the derivative") {
  check_rejected<SeesTheFuture>({"causal", "streaming", "positions"}, "other tokens after 0 change outputs up to 0");
  check_rejected<GradientSeesTheFuture>({"causal", "padding_safe", "gradient", "double_gradient"},
                                        "the gradient of output 0 is not 0 at a later token");
}

TEST_CASE("zoo: weights that are no distribution are rejected") {
  check_rejected<SumsToMore>({"distribution", "positions"}, "misses the sum 1 by");
  check_rejected<NegativeWeights>({"distribution", "positions"}, "a weight that is not ≥ 0");
}

TEST_CASE("zoo: a bias of position is rejected") {
  check_rejected<PrefersEarlyKeys>({"equivariant"}, "change the permuted outputs");
}

TEST_CASE("zoo: padding that is seen, and a gradient in a row without keys, are rejected") {
  check_rejected<IgnoresPadding>({"padding_safe", "positions"}, "padded tokens change outputs");
  check_rejected<AnswersToNobody>({"padding_safe", "gradient", "double_gradient"},
                                "a row without keys has a gradient");
}

TEST_CASE("zoo: wrong, missing, vanishing and wrong second derivatives are rejected, with place and values") {
  check_rejected<WrongGradient>({"gradient", "double_gradient"}, "self-attention: direction 0: analytic");
  check_rejected<NoQueryGradient>({"gradient", "double_gradient"}, "argument 0, index 0: analytic");
  check_rejected<StepScores>({"gradient"}, "the gradient of query.weight is zero, but the output depends on it");
  check_rejected<WrongDoubleGradient>({"double_gradient"}, "gradient of self-attention: direction 0: analytic");
}

TEST_CASE("zoo: a mechanism that goes on otherwise than it would, or cannot, is no streaming one") {
  check_rejected<Forgets>({"streaming"}, "after 1 tokens at once, tokens 1 to 1 differ by");
  check_rejected<HasNoState>({"streaming"}, "this attention cannot go on token by token");
}

TEST_CASE("zoo: what looks at other samples is not independent of the batch") {
  check_rejected<LooksAtTheBatch>({"batch_independent", "padding_safe"}, "other samples change the first one");
}

TEST_CASE("zoo: pairs of tokens are no linear work") {
  Mechanism row = row_of<StagedAttention>("claims too much");
  row.claims = always(Claims{.linear = true});
  const Proof proof = prove(row, *row.options(), 3).front();
  CHECK(!proof.holds);
  CHECK(contains_text(proof.evidence, "from 512 to 1024 tokens: 3.9"));
}

TEST_CASE("zoo: a leak in training alone is rejected, and a mixer that needs all tokens is not causal") {
  check_rejected<LeaksInTraining>({"causal"}, "of 6 in training");
  check_rejected<NeedsAllTokens>({"causal", "streaming", "positions"}, "the mixer says that it needs all tokens");
}

TEST_CASE("zoo: positions that are accepted and ignored, or taken from elsewhere, are rejected") {
  check_rejected<IgnoresBias>({"positions"}, "the mixer accepts alibi, which changes nothing");
  check_rejected<IgnoresRotary>({"positions"}, "the mixer accepts rotary, which changes nothing");
  check_rejected<BeginsAtZero>({"streaming", "positions"}, "differ by");
}

TEST_CASE("zoo: an exception of the mixer, whatever it is, fails its proofs alone") {
  const Mechanism row = row_of<ThrowsOther>("violator");
  for (const Proof& proof : prove(row, *row.options(), 3)) {
    CHECK(!proof.holds);
    CHECK(proof.evidence == "trouble of its own");
  }
}

TEST_CASE("zoo: rows that no run could be named after, that lack something, or whose options could not be read, are refused") {
  const auto refused = [](auto change) {
    Mechanism row = row_of<StagedAttention>("of_another_user");
    change(row);
    return message_of([&] { add_mechanism(row); });
  };
  for (const char* name : {"", "../../escaped", "we ird", "Upper", "a/b", "a.b"})
    CHECK(refused([&](Mechanism& row) { row.name = name; }) ==
          text("zoo: the name '", name, "' must be made of a … z, 0 … 9 and _"));
  const std::string lacks = "zoo: the row 'of_another_user' must have claims, options and make";
  CHECK(refused([](Mechanism& row) { row.claims = {}; }) == lacks);
  CHECK(refused([](Mechanism& row) { row.make = {}; }) == lacks);
  CHECK(refused([](Mechanism& row) { row.options = {}; }) == lacks);
  struct Odd : nn::Options {
    Odd(const char* first, const char* second, double value, const char* unread)
        : first(first), second(second), unread(unread ? unread : first), x(value) {}
    void fields(nn::FieldVisitor& visit) override {
      visit(first, x, "", nn::between(0, 1));
      visit.only(true, "", {unread});
      visit(second, y, "");
    }
    const char *first, *second, *unread;
    double x;
    bool y = false;
  };
  const auto options = [&](const char* first, const char* second, double value, const char* unread = nullptr) {
    return refused([=](Mechanism& row) { row.options = [=] { return std::make_unique<Odd>(first, second, value, unread); }; });
  };
  for (const char* other : {"b", "c"})   // behind it, nowhere
    CHECK(options("a", "b", 0, other) ==
          text("zoo: of_another_user: '", other, "' is said to be unread, and is no option before that"));
  CHECK(options("a", "a", 0) == "zoo: of_another_user: there are two options 'a'");
  CHECK(options("a", "mechanism", 0) == "zoo: of_another_user: there are two options 'mechanism'");
  CHECK(options("", "b", 0) == "zoo: of_another_user: an option must have a key");
  CHECK(options("a", "b", 5) == "zoo: of_another_user: a must be in 0 … 1, got 5");
}

TEST_CASE("zoo: ∞ passes no tolerance, in values or gradients") {
  check_rejected<InfiniteValue>({"padding_safe", "equivariant", "causal", "gradient", "double_gradient", "streaming",
                                 "batch_independent", "positions"},
                                "inf");
  check_rejected<InfiniteGradient>({"gradient", "double_gradient", "padding_safe"}, "inf");
}

TEST_CASE("zoo: an error of the mixer is a proof that failed, with the message") {
  const Mechanism row = row_of<Throws>("violator");
  for (const Proof& proof : prove(row, *row.options(), 3)) {
    CHECK(!proof.holds);
    CHECK(contains_text(proof.evidence, "no scores today"));
  }
}

TEST_CASE("zoo: an unknown mechanism is an error that lists those that exist") {
  const std::string message = message_of([] { mechanism("dot_produkt"); });
  for (const char* word : {"dot_produkt", "dot_product", "score_mlp"}) CHECK(contains_text(message, word));
}

TEST_CASE("zoo: rows added at run time are found and proved; names are taken once") {
  const std::string taken = message_of([] { add_mechanism(row_of<StagedAttention>("score_mlp")); });
  CHECK(contains_text(taken, "zoo: the name 'score_mlp' is taken by Neural Attention"));
  const size_t before = zoo().size();
  add_mechanism(row_of<StagedAttention>("of_the_user"));
  CHECK(zoo().size() == before + 1);
  check_all_hold(prove(mechanism("of_the_user"), *mechanism("of_the_user").options(), 4));
  CHECK(contains_text(message_of([] { mechanism("nobody"); }), "of_the_user"));
  CHECK(!oracles().contains("of_the_user"));   // such a row in zoo.cc would not pass the tests
}

TEST_CASE("zoo: every mechanism gives its weights to the recorder, (B,H,T,S), and they are those that it mixes with") {
  const Tensor Q = random_normal({2, 2, 3, 4}, 1, "Q"), K = random_normal({2, 2, 5, 4}, 1, "K"),
               V = random_normal({2, 2, 5, 4}, 1, "V");
  std::vector<std::string> with_a_norm;   // of what is mixed, or of the mixture, which is no product of weights and values then
  for (const Mechanism& row : zoo()) {
    if (needs_of(row, *row.options()).self) continue;   // test_twicing.cc
    CAPTURE(row.name);
    const auto mixer = row.make(*row.options(), {.width = 8, .heads = 2});
    if (dynamic_cast<const RecurrentAttention*>(mixer.get())) continue;   // its heads are wider: test_gated_linear.cc
    mixer->initialise(1, DType::f64);
    spread_parameters(*mixer, 1);
    std::vector<Tensor> recorded;
    nn::Call call;
    call.mask = {.causal = true, .offset = 2, .keys = Tensor::from<uint8_t>({1, 1, 0, 1, 1, 1, 1, 1, 1, 0}, {2, 5})};
    const auto& staged = dynamic_cast<const ProjectedAttention&>(*mixer);
    const Tensor unheard = staged.attend(Q, K, V, call);
    call.recorder = [&](const std::string&, const std::string& name, const Tensor& value) {
      if (name == "weights") recorded.push_back(value);
    };
    const Tensor y = staged.attend(Q, K, V, call);
    REQUIRE(recorded.size() == 1);
    CHECK(recorded[0].shape() == Shape{2, 2, 3, 5});
    CHECK(!recorded[0].node);
    CHECK(frobenius_error(y.values<double>(), unheard.values<double>()) <= 1e-14);
    const Tensor of_twice = staged.attend(Q, K, affine(V, 2, 0), call);
    if (frobenius_error(of_twice.values<double>(), affine(y, 2, 0).values<double>()) <= 1e-14)
      CHECK(frobenius_error(matmul(recorded[0], V).values<double>(), y.values<double>()) <= 1e-14);
    else
      with_a_norm.push_back(row.name);
    const std::vector<double> a = recorded[0].values<double>();
    for (int64_t i = 0; i < 60; ++i) {
      const int64_t b = i / 30, t = i / 5 % 3, s = i % 5;
      if (s > t + 2 || s == (b == 0 ? 2 : 4)) CHECK(a[i] == 0);
    }
  }
  CHECK(with_a_norm == std::vector<std::string>{"differential", "galerkin"});
}

TEST_CASE("zoo: in a model the recorder gets the weights of each layer under its module path") {
  nn::TransformerOptions options;
  options.vocabulary = 10;
  options.context = 6;
  options.width = 8;
  options.layers = 3;
  options.heads = 2;
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    if (needs_of(row, *row.options()).all_tokens) continue;   // it models no language
    nn::LanguageModel model(options, [&](const MixerShape& shape) { return row.make(*row.options(), shape); });
    model.initialise(1, DType::f64);
    std::vector<std::string> paths;
    nn::Call call;
    call.recorder = [&](const std::string& path, const std::string& name, const Tensor& value) {
      if (name != "weights") return;
      paths.push_back(path);
      CHECK(value.shape() == Shape{2, 2, 4, 4});
    };
    model.forward(Tensor::from(std::vector<int32_t>{3, 1, 4, 1, 5, 9, 2, 6}, {2, 4}), call);
    CHECK(paths == std::vector<std::string>{"blocks.0.attention", "blocks.1.attention", "blocks.2.attention"});
  }
}
