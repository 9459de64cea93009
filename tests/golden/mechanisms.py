"""Golden values of the mechanisms in float64, straight from the papers' formulas.

    python mechanisms.py        writes mechanisms.json beside this file

Scaled dot product:  s_ij = q_i . k_j / sqrt(D)
Neural Attention:    s_ij = N([q'_i ; k'_j]),  q' = P_q q + p_q,  k' = P_k k + p_k  (arXiv 2502.17206)
  paper form:        N(z) = w . relu(W z + b) + b_a
  released form:     N(z) = w . relu(W2 relu(W1 z + b1) + b2) + b3
  scale:             s_ij / sqrt(D);  shared: one N for all heads, else parameters have a leading axis H.
  layers:            first: scaled dot product in the other ones
Then o_i = sum_j softmax_j(s_ij) v_j, over j <= i when causal. Every pair [q'_i ; k'_j] is concatenated.
Additive:            s_ij = v . tanh(W q_i + U k_j + b), one network for each head (arXiv 1409.0473)
Expressive:          o_i = sum_j g_ij v_j / sum_j g_ij,  g = d z^2 / (1 + z^2),  z = beta q_i . k_j (arXiv 2407.18601)
  alibi:             d = exp(-2^(-8h/H) |i - j|) for head h = 1 ... H, else 1
MLP-QKV:             q = W2 norm(f(W1 x + b1)) + b2, norm before f, after it or not at all, f relu or mish; q, k, v, o
                     each such a network or a plain matrix; then scaled dot product (arXiv 2310.11398)
Twicing:             o = A v + A (v - A v), A the weights of scaled dot product; last: A v before the last so many
                     layers (arXiv 2503.00687)
Doubly normalised:   a_ij = r_ij / sum_j r_ij, r_ij = exp(s_ij) / sum_i exp(s_ij), over i >= j up to each query when causal; hybrid:
                     u a + (1 - u) softmax(s), u = sigmoid(share), s of scaled dot product (arXiv 2009.14308)
Inter-token:         softmax of s_ij = q_i . k_j / tau with s_ii = -inf where the row has another key, unless diagonal; 1/tau = 1/sqrt(D),
                     a factor, the exponential of a logarithm, or from a network of the mean query, when causal of the queries so far
                     (arXiv 2410.12861)
Attention-BN:        softmax of ((q_i - beta mu)/sigma) . ((k_j - beta mu)/sigma) / sqrt(D), mu and sigma of the keys that query i sees;
                     sigma^2 = (sum (k - mu)^2 + prior)/(n + prior) + epsilon, prior = 0 unless causal; or times sigma in place of
                     1/sigma, without epsilon (arXiv 2406.13781)
Cosine:              softmax of gamma q_i . k_j / (|q_i| |k_j|), gamma = min(100, exp(logarithm)), or a factor
                     (arXiv 2010.04245, 2111.09883)
Sigmoid:             o_i = sum_j sigmoid(q_i . k_j / sqrt(D) - log n + beta) v_j, n the keys that i sees, or options' length
                     (arXiv 2409.04431)
Differential:        o = (1 - lambda_0) rms_norm((softmax(q1 k1) - lambda softmax(q2 k2)) v) of the halves of q and k,
                     lambda = exp(lambda_q1 . lambda_k1) - exp(lambda_q2 . lambda_k2) + lambda_0, and lambda_0 =
                     0.8 - 0.6 exp(-0.3 l) in block l (arXiv 2410.05258)
Attention-SH:        softmax of q_i . k_b / sqrt(D) over means k_b, v_b of windows of r keys; causal: windows that ended up
                     to i, and k_i, v_i themselves where r > 1; normalised: by the windows, as Attention-BN with its options
                     (arXiv 2406.13781)
DAPE V2:             softmax of s + C2(leaky(C1(s))), s of scaled dot product as a picture with a channel for each head and 0 where j > i when
                     causal, C1 and C2 convolutions along j, about it or, "before", up to it; mask_hidden: 0 there between them too
                     (arXiv 2410.04798)
Associative:         y = LN(z), then y + P^T softmax(beta P .) T times of y, P = W3 memory + b3; or, dense, y + W2 gelu(W1 y + b1) + b2;
                     what writes the memory has gradient 0 (arXiv 2309.12862)
Linear:              o_i = sum_j (f(q_i) . f(k_j)) v_j / (sum_j f(q_i) . f(k_j) + epsilon), f(x) = elu(x) + 1 (arXiv 2006.16236)
CARE:                o_i = sum_j (f(q_i) . f(k_j)) v_j / sum_j (f(q_i) . f(k_j) + 1e-6), f(x) = elu(x) + 1; query_key: v the tokens, no layer
                     behind the heads, of whole mixers (arXiv 2411.16170)
FLatten:             o_i = sum_j (f(q_i) . f(k_j)) v_j / sum_j (f(q_i) . f(k_j) + epsilon) + the depthwise convolution of v at i, which ends
                     there when causal and else is centred; f(x) = |r| r^p / |r^p|, r = (relu(x) + epsilon)/softplus(scale), norms over the
                     channels of a head or of all heads (arXiv 2308.00442)
Laplacian:           y = w1 (q c) W + w2 q a, of whole mixers; q = softmax(x W_q) over channels, c = softmax(x W_k)^T (x W_v), softmax over
                     tokens; a = sum_i softmax(l_i)^T l_i of the bands l_0 = x, l_i = g_i-1 - g_i of Gaussian blurs g_0 = x, g_i along
                     the sequence, its first term behind a softmax over channels or raw; sum: y = (q c) W + q a (arXiv 2309.00108)
FAST:                o_i = sum_j f(s_ij) v_j / sum_j f(s_ij), f(s) = 1 + s + s^2/2 or 1 + s, s_ij = q'_i . k'_j / t; q' and k'
                     as they are with t = 8 sqrt(D); else t = 1, and c/sqrt(|c|^2 + 1e-5) or c/sqrt(|c|^2/D + 1e-5) of c = x - its
                     own mean, or x, c or x - the mean token over the largest norm of the tokens (arXiv 2402.07901)
Gated linear:        S_t = diag(alpha_t) S_(t-1) + k_t^T v_t, o_t = q_t S_t, y = rms_norm(o) * silu(W_r x), of whole mixers; alpha =
                     sigmoid(z)^(1/temperature) of z = W2 W1 x + b, a number for each feature, or w x + b, one for each head; fixed:
                     1 - 2^(-5-h); not causal: all read the last state (arXiv 2312.06635, 2307.08621)
Delta rule:          S_t = S_(t-1) + beta_t k_t^T (v_t - k_t S_(t-1)), o_t = q_t S_t, beta = sigmoid(w x), of whole mixers; length: q and k
                     silu(W x) over its length, v = silu(W x), y = rms_norm(o); sum: q and k elu(W x) + 1 over its sum, y = o
                     (arXiv 2406.06484, 2102.11174)

Where tokens have places: placed.py. `present` (B,S): keys that are there; formulas are of these alone.

Each case holds the options under their keys in [attention], in `shape` what its mixer has beside width and heads, q (B,H,T,D), k and
v (B,H,S,D), the parameters, an upstream gradient g (B,H,T,D), the output and the gradients of sum(output * g). Cases of MLP-QKV, of
recurrences and of Laplacian are whole mixers: inputs are x (B,T,C) and context (B,S,C) where it is another, output and upstream
gradient (B,T,C). So are some of CARE. One of Associative is what stands behind the
feed-forward network: its input is z (B,T,C), and it has buffers. The score network of Neural Attention is drawn
again until, in each head and hidden layer, 20 % to 80 % of the units over all allowed pairs are above 0
(`gate_active_share`), each unit is both on and off for the keys of some query (else its bias would cancel in the
softmax), and none lies within 1e-3 of the kink.
"""

import itertools
import json
import math
import pathlib

import placed
import torch
from mechanism_case import BATCH, HEADS, WIDTH, attend, draw, record
from mixers import (
    VERSIONS,
    associative_case,
    associative_heads_case,
    care_case,
    delta_rule_case,
    gated_linear_case,
    laplacian_case,
    mlp_qkv_case,
)

QUERIES = 5
UNITS = 5  # of additive attention
FORMS = {  # options, and the layers from [q';k'] to the score: (name, outputs, inputs)
    "released, d'=2": ({"form": "released", "reduced": 2}, [("hidden1", 2, 4), ("hidden2", 1, 2), ("out", 1, 1)]),
    "released, d'=4": ({"form": "released", "reduced": 4}, [("hidden1", 4, 8), ("hidden2", 2, 4), ("out", 1, 2)]),
    "paper, d'=2": ({"form": "paper", "reduced": 2, "hidden": 6}, [("hidden", 6, 4), ("out", 1, 6)]),
    "paper, d'=1": ({"form": "paper", "reduced": 0, "hidden": 4}, [("hidden", 4, 2), ("out", 1, 4)]),  # 0: 1 below a width of 64
}


def draw_parameters(form, shared, generator):
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)); shapes (out, in) and (out), with a leading H when not shared."""
    options, layers = FORMS[form]
    reduced, lead, parameters = options["reduced"] or 1, [] if shared else [HEADS], {}
    for name, outputs, inputs in [("reduce_query", reduced, WIDTH), ("reduce_key", reduced, WIDTH), *layers]:
        for suffix, shape in (("weight", [outputs, inputs]), ("bias", [outputs])):
            draw = torch.rand(lead + shape, generator=generator, dtype=torch.float64)
            parameters[f"{name}.{suffix}"] = (2 * draw - 1) / math.sqrt(inputs)
    return parameters


def linear(x, parameters, name):
    """x (B,H,...,in) -> (B,H,...,out), head h with its own parameters where they have a head axis."""
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    heads = []
    for h in range(HEADS):
        w, b = (weight, bias) if weight.dim() == 2 else (weight[h], bias[h])
        heads.append(torch.einsum("b...i,oi->b...o", x[:, h], w) + b)
    return torch.stack(heads, 1)


def neural_scores(q, k, parameters, layers):
    """Scores (B,H,T,S) and the pre-activations of each hidden layer (B,H,T,S,m)."""
    reduced_q, reduced_k = linear(q, parameters, "reduce_query"), linear(k, parameters, "reduce_key")
    pairs = [
        torch.stack([torch.cat([reduced_q[:, :, i], reduced_k[:, :, j]], -1) for j in range(k.shape[2])], 2)
        for i in range(q.shape[2])
    ]
    z, hidden = torch.stack(pairs, 2), []
    for name, _, _ in layers[:-1]:
        z = linear(z, parameters, name)
        hidden.append(z)
        z = z * (z > 0)
    return linear(z, parameters, "out")[..., 0], hidden


def open_gates(hidden, allowed):
    """Per hidden layer the share of active units over the allowed pairs; None where a gate is unfit (see above)."""
    shares = []
    for z in hidden:
        inside = allowed[:, :, None]
        some, every = ((z > 0) & inside).any(3), ((z > 0) | ~inside).all(3)
        depends_on_key = (some & ~every).any(2).any(0)  # (H, m)
        z = z[:, :, allowed]
        per_head = (z > 0).double().mean(dim=(0, 2, 3))
        if not depends_on_key.all() or z.abs().min() < 1e-3 or per_head.min() < 0.2 or per_head.max() > 0.8:
            return None
        shares.append(per_head.mean().item())
    return shares


def score_case(name, form, causal, scale, shared, keys, generator, of_two=None, present=None):
    """Neural Attention in one of FORMS, or the dot product where it is None; `of_two`: layers that have it, here is the second."""

    def normal(length):
        return torch.randn(BATCH, HEADS, length, WIDTH, generator=generator, dtype=torch.float64)

    inputs = {"q": normal(QUERIES), "k": normal(keys), "v": normal(keys)}
    upstream, fields = normal(QUERIES), {"mechanism": "dot_product", "causal": causal, "options": {}}
    shares, parameters = None, {}
    allowed = torch.ones(QUERIES, keys, dtype=torch.bool)
    if causal:
        allowed = allowed.tril()
    if present:
        allowed, fields["present"] = allowed & torch.tensor(present, dtype=torch.bool), [present] * BATCH
    if form:
        options, layers = FORMS[form]
        while shares is None:
            parameters = draw_parameters(form, shared, generator)
            shares = open_gates(neural_scores(inputs["q"], inputs["k"], parameters, layers)[1], allowed)
        fields |= {"mechanism": "score_mlp", "options": options | {"scale": scale, "shared": shared}}
        fields["gate_active_share"] = shares
    if of_two:
        fields |= {"mechanism": "score_mlp", "shape": {"layer": 1, "layers": 2}}
        fields["options"] = fields["options"] | {"layers": of_two}

    def forward(x):
        scores = neural_scores(x["q"], x["k"], x, layers)[0] if form else torch.einsum("bhid,bhjd->bhij", x["q"], x["k"])
        return attend(scores / math.sqrt(WIDTH) if scale else scores, x["v"], allowed)

    return record(name, fields, inputs, parameters, upstream, forward)


def staged_case(name, mechanism, causal, options, keys, generator, shape=None, present=None):
    """Mechanisms of which heads are all that differs, on heads."""
    inputs = {"q": draw(generator, 1, HEADS, 3, WIDTH), "k": draw(generator, 1, HEADS, keys, WIDTH)}
    inputs["v"] = draw(generator, 1, HEADS, keys, WIDTH)
    parameters = {}
    if mechanism == "additive":
        units = options["hidden"] or WIDTH
        for which, own in (("query", (HEADS, units, WIDTH)), ("key", (HEADS, units, WIDTH)), ("vector", (HEADS, units))):
            parameters[which] = draw(generator, *own)
        if options["bias"]:
            parameters["bias"] = draw(generator, HEADS, units)
    if mechanism == "dnas" and options["hybrid"]:
        parameters["share"] = draw(generator, HEADS)
    temperature = options.get("temperature")
    if temperature in ("factor", "logarithm"):
        shared = mechanism == "cosine" and temperature == "factor"
        parameters[temperature] = draw(generator, 1 if shared else HEADS, scale=0.5)
    if temperature == "network":
        shapes = {"hidden.weight": (16, HEADS * WIDTH), "hidden.bias": (16,), "weight": (HEADS, 16), "bias": (HEADS,)}
        parameters = {f"temperature.{which}": draw(generator, *own, scale=0.5) for which, own in shapes.items()}
    normalised = {"galerkin": ("key", "value"), "fourier": ("query", "key")}.get(mechanism, ()) if options.get("norm") else ()
    for which in normalised:
        parameters[f"{which}_norm.weight"] = 1 + draw(generator, HEADS, WIDTH, scale=0.5)
        parameters[f"{which}_norm.bias"] = draw(generator, HEADS, WIDTH, scale=0.5)
    if options.get("learned"):
        parameters["beta"] = draw(generator, HEADS)
    if mechanism == "differential":
        for which in ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"):
            parameters[which] = draw(generator, WIDTH // 2, scale=0.5)
        parameters["norm.weight"] = 1 + draw(generator, WIDTH, scale=0.5)
    if mechanism == "dape":
        kernel, units = options["kernel"], options["hidden"]
        for which, own in (("first", (kernel, HEADS, units)), ("second", (kernel, units, HEADS))):
            parameters[f"{which}.weight"] = draw(generator, *own)
            parameters[f"{which}.bias"] = draw(generator, own[-1])
    if mechanism == "flatten":
        inputs = {name: value + (1.5 if name in "qk" else 0.0) for name, value in inputs.items()}  # of which some channels are above 0
        if options["channel_scale"]:
            parameters["scale"] = draw(generator, HEADS, WIDTH)
        if options["kernel"]:
            channels = WIDTH if options["shared_kernel"] else HEADS * WIDTH
            parameters["depthwise.tokens.weight"] = draw(generator, options["kernel"], 1, channels, scale=0.5)
            parameters["depthwise.tokens.bias"] = draw(generator, channels, scale=0.5)
    allowed = torch.ones(3, keys, dtype=torch.bool)
    if causal:
        allowed = allowed.tril()
    if present:
        allowed = allowed & torch.tensor(present, dtype=torch.bool)

    behind = (options["kernel"] - 1) // 2 if mechanism == "dape" and options.get("padding", "centred") == "centred" else 0

    def dape(x):
        scores = torch.einsum("bhid,bhjd->bhij", x["q"], x["k"]) / math.sqrt(WIDTH)

        def convolution(picture, which):
            weight = x[f"{which}.weight"].permute(2, 1, 0)[:, :, None]
            padded = torch.nn.functional.pad(picture, (options["kernel"] - 1 - behind, behind))
            return torch.nn.functional.conv2d(padded, weight, x[f"{which}.bias"])

        hidden = torch.nn.functional.leaky_relu(convolution(scores * allowed, "first"))
        hidden = hidden * allowed if options.get("mask_hidden", True) else hidden
        return attend(scores + convolution(hidden, "second"), x["v"], allowed)

    def doubly_normalised(x):
        scores = torch.einsum("bhid,bhjd->bhij", x["q"], x["k"]) / math.sqrt(WIDTH)
        e = torch.exp(scores) * allowed
        columns = e.cumsum(2) if causal else e.sum(2, keepdim=True)
        ratios = torch.where(allowed, e / torch.where(columns > 0, columns, 1.0), 0.0)
        weights = ratios / ratios.sum(-1, keepdim=True)
        if options["hybrid"]:
            u = torch.sigmoid(x["share"])[:, None, None]
            weights = u * weights + (1 - u) * e / e.sum(-1, keepdim=True)
        return torch.einsum("bhij,bhjd->bhid", weights, x["v"])

    def inter_token(x):
        scale = torch.full((1, HEADS, 1), 1 / math.sqrt(WIDTH), dtype=torch.float64)
        if temperature == "factor":
            scale = x["factor"][None, :, None]
        if temperature == "logarithm":
            scale = torch.exp(x["logarithm"])[None, :, None]
        if temperature == "network":
            sums = x["q"].cumsum(2) / torch.arange(1, 4)[:, None] if causal else x["q"].mean(2, keepdim=True)
            mean = sums.transpose(1, 2).flatten(2)
            hidden = torch.tanh(mean @ x["temperature.hidden.weight"].T + x["temperature.hidden.bias"])
            out = hidden @ x["temperature.weight"].T + x["temperature.bias"]
            scale = 1 / (0.1 * math.sqrt(WIDTH) + torch.nn.functional.softplus(out)).transpose(1, 2)
        seen = allowed if options["diagonal"] else allowed & ~torch.eye(3, keys, dtype=torch.bool)
        seen = seen | (allowed & ~seen.any(-1, keepdim=True))
        return attend(torch.einsum("bhid,bhjd->bhij", x["q"], x["k"]) * scale[..., None], x["v"], seen)

    divides = options.get("deviation", "divide") == "divide"

    def normalised_rows(q, k, keys, beta):
        """q (B,D) and rows k (B,e,D), of which products are those of both normalised by the keys (B,n,D)."""
        prior, epsilon = options.get("prior", 8.0) * causal, options.get("epsilon", 1e-5) * divides
        mean, count = keys.mean(1), keys.shape[1]
        variance = (((keys - mean[:, None]) ** 2).sum(1) + prior) / (count + prior) + epsilon
        twice = 1 / variance if divides else variance  # both deviations; their root would have no derivative at 0
        return (q - beta * mean) * twice, k - beta * mean[:, None]

    def beta_of(x, h):
        return x["beta"][h] if options.get("learned") else options.get("beta", 1.0)

    def attention_bn(x):
        def row(h, i):
            own = x["k"][:, h, allowed[i]]
            q, k = normalised_rows(x["q"][:, h, i], x["k"][:, h], own, beta_of(x, h))
            return torch.einsum("bd,bjd->bj", q, k)

        scores = torch.stack([torch.stack([row(h, i) for i in range(3)], 1) for h in range(HEADS)], 1)
        return attend(scores / math.sqrt(WIDTH), x["v"], allowed)

    def cosine(x):
        gamma = x["factor"] if temperature == "factor" else torch.exp(x["logarithm"]).clamp(max=100)
        q, k = (x[name] / torch.linalg.vector_norm(x[name], dim=-1, keepdim=True) for name in "qk")
        return attend(torch.einsum("bhid,bhjd->bhij", q, k) * gamma[:, None, None], x["v"], allowed)

    def sigmoid(x):
        n = torch.as_tensor(options["length"] or allowed.sum(-1, keepdim=True), dtype=torch.float64)
        scores = torch.einsum("bhid,bhjd->bhij", x["q"], x["k"]) / math.sqrt(WIDTH) - torch.log(n)
        if options["learned"]:
            scores = scores + x["beta"][:, None, None]
        return torch.einsum("bhij,bhjd->bhid", torch.sigmoid(scores) * allowed, x["v"])

    def differential(x):
        initial = options["initial"] or 0.8 - 0.6 * math.exp(-0.3 * shape["layer"] if shape else 0.0)
        halves = [[x[name][..., begin : begin + WIDTH // 2] for name in "qk"] for begin in (0, WIDTH // 2)]
        first, second = (
            attend(torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(WIDTH // 2), x["v"], allowed) for q, k in halves
        )
        scale = torch.exp(x["lambda_q1"] @ x["lambda_k1"]) - torch.exp(x["lambda_q2"] @ x["lambda_k2"]) + initial
        mixed = first - scale * second
        return (1 - initial) * x["norm.weight"] * mixed / torch.sqrt((mixed**2).mean(-1, keepdim=True) + 1e-5)

    def attention_sh(x):
        def row(h, i):
            r = options["factors"][h % len(options["factors"])]
            begins = [begin for begin in range(0, keys, r) if not causal or begin + r - 1 <= i]
            windows = [[j for j in range(begin, min(begin + r, keys)) if not present or present[j]] for begin in begins]
            windows = [own for own in windows if own]
            sets = windows + [[i]] * (causal and r > 1)
            k, v = (torch.stack([x[name][:, h, own].mean(1) for own in sets], 1) for name in "kv")
            q = x["q"][:, h, i]
            if options["normalised"] and windows:
                q, k = normalised_rows(q, k, k[:, : len(windows)], beta_of(x, h))
            weights = torch.softmax(torch.einsum("bd,bed->be", q, k) / math.sqrt(WIDTH), -1)
            return torch.einsum("be,bed->bd", weights, v)

        return torch.stack([torch.stack([row(h, i) for i in range(3)], 1) for h in range(HEADS)], 1)

    def additive(x):
        a = torch.einsum("bhid,hmd->bhim", x["q"], x["query"])[:, :, :, None]
        c = torch.einsum("bhjd,hmd->bhjm", x["k"], x["key"])[:, :, None]
        b = x["bias"][:, None, None] if options["bias"] else 0.0
        return attend(torch.einsum("bhijm,hm->bhij", torch.tanh(a + c + b), x["vector"]), x["v"], allowed)

    def expressive(x):
        z = (options["beta"] or 1 / math.sqrt(WIDTH)) * torch.einsum("bhid,bhjd->bhij", x["q"], x["k"])
        g = z**2 / (1 + z**2) * allowed
        if options["alibi"]:
            distance = (torch.arange(3)[:, None] - torch.arange(keys)[None]).abs()
            slopes = torch.tensor([2.0 ** (-8 * (h + 1) / HEADS) for h in range(HEADS)], dtype=torch.float64)
            g = g * torch.exp(-slopes[:, None, None] * distance)
        return torch.einsum("bhij,bhjd->bhid", g / g.sum(-1, keepdim=True), x["v"])

    def twicing(x):
        scores = torch.einsum("bhid,bhjd->bhij", x["q"], x["k"]) / math.sqrt(WIDTH)
        once = attend(scores, x["v"], allowed)
        if shape and options["last"] and shape["layer"] < shape["layers"] - options["last"]:
            return once
        return once + attend(scores, x["v"] - once, allowed)

    def linear_features(x):
        q, k = (torch.nn.functional.elu(x[name]) + 1 for name in "qk")
        w = torch.einsum("bhid,bhjd->bhij", q, k) * allowed
        return torch.einsum("bhij,bhjd->bhid", w / (w.sum(-1, keepdim=True) + options["epsilon"]), x["v"])

    def care(x):
        q, k = (torch.nn.functional.elu(x[name]) + 1 for name in "qk")
        w = torch.einsum("bhid,bhjd->bhij", q, k) * allowed
        return torch.einsum("bhij,bhjd->bhid", w / (w + 1e-6 * allowed).sum(-1, keepdim=True), x["v"])

    def focused(x):
        epsilon, kernel, over = options["epsilon"], options["kernel"], (1, 3) if options["norm"] == "all" else (3,)

        def features(tokens):
            r = torch.relu(tokens) + epsilon
            if options["channel_scale"]:
                r = r / torch.nn.functional.softplus(x["scale"])[:, None]
            powers = r ** options["power"]
            lengths = powers.pow(2).sum(over, keepdim=True).sqrt()
            return r.pow(2).sum(over, keepdim=True).sqrt() * powers / lengths

        w = torch.einsum("bhid,bhjd->bhij", features(x["q"]), features(x["k"])) * allowed
        y = torch.einsum("bhij,bhjd->bhid", w / (w + epsilon * allowed).sum(-1, keepdim=True), x["v"])
        if not kernel:
            return y
        weight, bias = x["depthwise.tokens.weight"], x["depthwise.tokens.bias"]
        repeated = 1 if weight.shape[2] == HEADS * WIDTH else HEADS
        before = kernel - 1 if causal else kernel // 2
        padded = torch.nn.functional.pad(x["v"].permute(0, 1, 3, 2).reshape(1, HEADS * WIDTH, keys), (before, kernel - 1 - before))
        own = weight.permute(2, 1, 0).repeat(repeated, 1, 1)
        local = torch.nn.functional.conv1d(padded, own, bias.repeat(repeated), groups=HEADS * WIDTH)
        return y + local.reshape(1, HEADS, WIDTH, keys).permute(0, 1, 3, 2)

    def softmax_free(x):
        def head(name, which):
            rows = []
            for h in range(HEADS):
                own = x[name][:, h]
                if which in normalised:
                    weight, bias = x[f"{which}_norm.weight"][h], x[f"{which}_norm.bias"][h]
                    own = torch.nn.functional.layer_norm(own, [WIDTH], weight, bias, options["epsilon"])
                rows.append(own)
            return torch.stack(rows, 1)

        q, k, v = head("q", "query"), head("k", "key"), head("v", "value")
        if mechanism == "fourier":
            kernel = q @ k.transpose(-1, -2) / (math.sqrt(WIDTH) if options["scale"] else 1.0)
            return (kernel * allowed) @ v / allowed.sum(-1, keepdim=True)
        rows = [q[:, :, i : i + 1] @ (k[:, :, allowed[i]].transpose(-1, -2) @ v[:, :, allowed[i]]) for i in range(3)]
        return torch.cat(rows, 2) / allowed.sum(-1, keepdim=True)

    def polynomial(x):
        def normalised(tokens):
            if options["normalisation"] == "none":
                return tokens / math.sqrt(8 * math.sqrt(WIDTH))
            if options["normalisation"] in ("per_token", "standardised", "centred_max_norm"):
                tokens = tokens - tokens.mean(-1, keepdim=True)
            if options["normalisation"] == "per_token":
                return tokens / ((tokens**2).sum(-1, keepdim=True) + 1e-5).sqrt()
            if options["normalisation"] == "standardised":
                return tokens / ((tokens**2).mean(-1, keepdim=True) + 1e-5).sqrt()
            if options["normalisation"] == "centred_sequence_max_norm":
                tokens = tokens - tokens.mean(2, keepdim=True)
            return tokens / tokens.norm(dim=-1).amax(-1)[:, :, None, None]

        s = torch.einsum("bhid,bhjd->bhij", normalised(x["q"]), normalised(x["k"]))
        f = (1 + s + (s**2 / 2 if options["order"] == 2 else 0)) * allowed
        return torch.einsum("bhij,bhjd->bhid", f / f.sum(-1, keepdim=True), x["v"])

    forms = {"additive": additive, "expressive": expressive, "twicing": twicing, "linear": linear_features}
    forms |= {"dnas": doubly_normalised, "inter_token": inter_token, "attention_bn": attention_bn, "attention_sh": attention_sh}
    forms |= {"dape": dape, "cosine": cosine, "sigmoid": sigmoid, "differential": differential}
    forms |= {"care": care, "flatten": focused}
    forms |= {"fast": polynomial, "galerkin": softmax_free, "fourier": softmax_free}
    fields = {"mechanism": mechanism, "causal": causal, "options": options} | ({"shape": shape} if shape else {})
    fields |= {"present": [present]} if present else {}
    return record(name, fields, inputs, parameters, draw(generator, 1, HEADS, 3, WIDTH), forms[mechanism])


def cases_of_readings():
    """Of what a paper leaves open, or says otherwise than its code."""
    generator = torch.Generator().manual_seed(16)
    readings_of_windows = (
        ([1, 2], {"beta": 0.5, "learned": False, "deviation": "divide", "prior": 2.0, "epsilon": 1e-3}, True),
        ([1, 2], {"learned": True, "epsilon": 1e-2}, False), ([3, 2], {"beta": 0.75, "deviation": "multiply"}, False),
        ([2, 1], {"learned": True, "deviation": "multiply", "prior": 0.0}, True), ([3, 2], {"beta": 0.0, "prior": 2.0}, True),
    )
    for factors, own, causal in readings_of_windows:
        words = ["causal" if causal else "cross", f"factors {' and '.join(map(str, factors))}", "normalised"]
        words += [f"{key} {value}" for key, value in own.items()]
        options = {"factors": factors, "normalised": True} | own
        yield staged_case(f"attention_sh, {', '.join(words)}", "attention_sh", causal, options, 3 if causal else 4, generator)
    options = {"deviation": "multiply", "learned": True, "prior": 2.0}
    yield staged_case("attention_bn, causal, multiply, learned", "attention_bn", True, options, 3, generator)
    options = {"diagonal": False, "temperature": "network"}
    yield staged_case("inter_token, causal, network", "inter_token", True, options, 3, generator)
    readings_of_padding = (
        (2, {"padding": "centred", "mask_hidden": True}, True), (4, {"padding": "centred", "mask_hidden": False}, True),
        (6, {"padding": "centred", "mask_hidden": True}, False), (2, {}, False), (3, {"padding": "before"}, True),
        (7, {"padding": "before", "mask_hidden": True}, True),
    )
    for kernel, own, causal in readings_of_padding:
        words = ["causal" if causal else "cross", f"kernel {kernel}"] + [own[key] for key in own if key == "padding"]
        words += ["hidden masked"] * own.get("mask_hidden", False)
        options = {"kernel": kernel, "hidden": 3} | own
        yield staged_case(f"dape, {', '.join(words)}", "dape", causal, options, 3 if causal else 5, generator)
    for order, causal in ((2, True), (1, False), (2, False)):
        options = {"order": order, "normalisation": "standardised"}
        name = f"fast, {'causal' if causal else 'cross'}, order {order}, standardised"
        yield staged_case(name, "fast", causal, options, 3 if causal else 4, generator)


def cases():
    generator = torch.Generator().manual_seed(2502)
    lengths = {"causal": QUERIES, "self": QUERIES, "cross": 7}
    for kind, keys in lengths.items():
        yield score_case(f"dot product, {kind}", None, kind == "causal", True, True, keys, generator)
    for form, kind, shared, scale in itertools.product(list(FORMS)[:3], ("causal", "cross"), (True, False), (False, True)):
        words = [form, kind, "shared" if shared else "per head"] + ["scaled"] * scale
        yield score_case(f"neural, {', '.join(words)}", form, kind == "causal", scale, shared, lengths[kind], generator)
    generator = torch.Generator().manual_seed(2407)
    for bias, causal in ((False, True), (True, False)):
        words = ["causal" if causal else "cross"] + ["bias"] * bias
        options = {"hidden": UNITS, "bias": bias}
        yield staged_case(f"additive, {', '.join(words)}", "additive", causal, options, 3 if causal else 4, generator)
    for beta, alibi, causal in ((1.0, False, True), (1 / math.sqrt(WIDTH), False, False), (1.0, True, True)):
        words = ["causal" if causal else "cross", f"beta {beta}"] + ["alibi"] * alibi
        options = {"beta": beta, "alibi": alibi}
        yield staged_case(f"expressive, {', '.join(words)}", "expressive", causal, options, 3 if causal else 4, generator)
    for version in list(VERSIONS)[:4]:
        yield mlp_qkv_case(version, generator)
    for causal in (True, False):
        yield staged_case(f"twicing, {'causal' if causal else 'self'}", "twicing", causal, {}, 3, generator)
    for epsilon, causal in ((0.0, True), (1e-6, True), (0.0, False)):
        words = ["causal" if causal else "cross", f"epsilon {epsilon}"]
        options = {"epsilon": epsilon}
        yield staged_case(f"linear, {', '.join(words)}", "linear", causal, options, 3 if causal else 4, generator)
    generator = torch.Generator().manual_seed(2009)
    for hybrid, causal in itertools.product((False, True), (True, False)):
        words = ["causal" if causal else "self"] + ["hybrid"] * hybrid
        yield staged_case(f"dnas, {', '.join(words)}", "dnas", causal, {"hybrid": hybrid}, 3, generator)
    cases_of_temperature = (("fixed", True), ("factor", False), ("logarithm", True), ("network", False))
    for temperature, causal in cases_of_temperature:
        name = f"inter_token, {'causal' if causal else 'self'}, {temperature}"
        options = {"diagonal": False, "temperature": temperature}
        yield staged_case(name, "inter_token", causal, options, 3, generator)
    cases_of_deviation = (("divide", False, True), ("divide", True, False), ("multiply", False, False), ("divide", True, True))
    for deviation, learned, causal in cases_of_deviation:
        words = ["causal" if causal else "cross", deviation] + ["learned"] * learned
        options = {"beta": 0.75, "learned": learned, "deviation": deviation, "prior": 2.0}
        options |= {"epsilon": 1e-3} if deviation == "divide" else {}
        yield staged_case(f"attention_bn, {', '.join(words)}", "attention_bn", causal, options, 3 if causal else 4, generator)
    yield from cases_of_readings()
    generator = torch.Generator().manual_seed(2105)
    cases_of_factors = itertools.product(("galerkin", "fourier"), ((True, True), (True, False), (False, False)))
    for mechanism, (norm, causal) in cases_of_factors:
        words = ["causal" if causal else "cross"] + ["norm"] * norm
        options = {"norm": norm} | ({"epsilon": 1e-3} if norm else {}) | ({"scale": norm} if mechanism == "fourier" else {})
        yield staged_case(f"{mechanism}, {', '.join(words)}", mechanism, causal, options, 3 if causal else 4, generator)
    generator = torch.Generator().manual_seed(2402)
    cases_of_fast = (
        (2, "per_token", "causal"), (1, "per_token", "causal"), (2, "per_token", "cross"), (1, "none", "causal"),
        (2, "none", "cross"), (2, "max_norm", "self"), (1, "centred_max_norm", "self"),
        (2, "centred_sequence_max_norm", "self"),
    )
    for order, normalisation, kind in cases_of_fast:
        options = {"order": order, "normalisation": normalisation}
        keys = 4 if kind == "cross" else 3
        yield staged_case(f"fast, {kind}, order {order}, {normalisation}", "fast", kind == "causal", options, keys, generator)
    generator = torch.Generator().manual_seed(2010)
    for temperature, causal in (("logarithm", True), ("logarithm", False), ("factor", True)):
        name = f"cosine, {'causal' if causal else 'cross'}, {temperature}"
        yield staged_case(name, "cosine", causal, {"temperature": temperature}, 3 if causal else 4, generator)
    generator = torch.Generator().manual_seed(2409)
    for length, learned, causal in ((0, False, True), (0, True, False), (16, False, True)):
        words = ["causal" if causal else "cross"] + [f"length {length}"] * (length > 0) + ["learned"] * learned
        options = {"length": length, "learned": learned}
        yield staged_case(f"sigmoid, {', '.join(words)}", "sigmoid", causal, options, 3 if causal else 4, generator)
    generator = torch.Generator().manual_seed(2410)
    for initial, causal in ((0.0, True), (0.0, False), (0.8, True)):
        name = f"differential, {'causal' if causal else 'cross'}, {initial or 'initial of block 0'}"
        yield staged_case(name, "differential", causal, {"initial": initial}, 3 if causal else 4, generator)
    generator = torch.Generator().manual_seed(2406)
    cases_of_windows = (([1, 2], False, True), ([3, 2], False, False), ([3, 2], False, True), ([1, 2], True, True))
    for factors, normalised, causal in (*cases_of_windows, ([1, 2], True, False)):
        words = ["causal" if causal else "cross", f"factors {' and '.join(map(str, factors))}"] + ["normalised"] * normalised
        options = {"factors": factors, "normalised": normalised}
        yield staged_case(f"attention_sh, {', '.join(words)}", "attention_sh", causal, options, 3 if causal else 4, generator)
    generator = torch.Generator().manual_seed(2410)
    for kernel, mask_hidden, causal in ((1, True, True), (3, True, True), (3, False, True), (5, True, False)):
        words = ["causal" if causal else "cross", f"kernel {kernel}"] + ["hidden masked"] * mask_hidden
        options = {"kernel": kernel, "hidden": 3, "mask_hidden": mask_hidden}
        yield staged_case(f"dape, {', '.join(words)}", "dape", causal, options, 3 if causal else 5, generator)
    generator = torch.Generator().manual_seed(2309)
    memory = {"slots": 4, "slot_width": 3, "memory_heads": 2}
    for own in ({"beta": 1.0, "retrieval_steps": 1}, {"beta": 2.0, "retrieval_steps": 3}):
        yield associative_case({"layer": "workspace"} | memory | own, generator)
    yield associative_case({"layer": "dense"}, generator)
    generator = torch.Generator().manual_seed(2312)
    for decay, causal in (("feature", True), ("head", True), ("fixed", True), ("feature", False)):
        yield gated_linear_case(decay, causal, generator)
    for keys, causal in (("length", True), ("sum", True), ("length", False)):
        yield delta_rule_case(keys, causal, generator)
    generator = torch.Generator().manual_seed(2411)
    for causal in (True, False):
        yield staged_case(f"care, {'causal' if causal else 'cross'}", "care", causal, {}, 3 if causal else 4, generator)
    generator = torch.Generator().manual_seed(2308)
    common = {"power": 3, "kernel": 5, "norm": "head", "shared_kernel": False, "channel_scale": False, "epsilon": 0.0}
    code = common | {"norm": "all", "shared_kernel": True, "channel_scale": True, "epsilon": 1e-6}
    cases_of_focus = (
        ("paper, causal", common, True, 3), ("paper, self", common, False, 3), ("released, causal", code, True, 3),
        ("released, self", code, False, 3), ("power 2 without a kernel, cross", common | {"power": 2, "kernel": 0}, False, 4),
    )
    for name, options, causal, keys in cases_of_focus:
        yield staged_case(f"flatten, {name}", "flatten", causal, options, keys, generator)
    generator = torch.Generator().manual_seed(2309)
    for levels, first_softmax, fusion in ((0, True, "learned"), (3, True, "learned"), (4, False, "learned"), (2, True, "sum")):
        yield laplacian_case({"levels": levels, "first_softmax": first_softmax, "fusion": fusion}, generator)
    yield from further_values()
    yield from placed.cases()
    yield from padded()


def padded():
    """Keys that are not there, of another sequence than the queries."""
    generator = torch.Generator().manual_seed(2615)
    present = [1, 1, 0, 1, 0]
    some = {
        "additive": {"hidden": 3, "bias": True},
        "expressive": {"beta": 1.0, "alibi": False},
        "linear": {"epsilon": 1e-2},
        "attention_bn": {"beta": 0.75, "learned": False, "deviation": "divide", "epsilon": 1e-2, "prior": 2.0},
        "galerkin": {"norm": True, "epsilon": 1e-3},
        "fourier": {"norm": True, "epsilon": 1e-3, "scale": True},
        "fast": {"order": 2, "normalisation": "per_token"},
        "cosine": {"temperature": "logarithm"},
        "sigmoid": {"length": 0, "learned": True},
        "differential": {"initial": 0.8},
        "attention_sh": {"factors": [2, 3], "normalised": True},
        "dape": {"kernel": 3, "hidden": 3, "mask_hidden": True},
        "care": {},
    }
    yield score_case("dot product, padded", None, False, True, True, 5, generator, present=present)
    yield score_case("neural, paper, d'=2, padded", "paper, d'=2", False, True, False, 5, generator, present=present)
    for mechanism, options in some.items():
        yield staged_case(f"{mechanism}, padded", mechanism, False, options, 5, generator, present=present)
    yield mlp_qkv_case("ceres", generator, present=present[:4])
    for decay in ("feature", "head", "fixed"):
        yield gated_linear_case(decay, False, generator, present=present)
    yield gated_linear_case("feature", True, generator, present=present[:4])
    for keys, causal in (("length", False), ("sum", False), ("length", True)):
        yield delta_rule_case(keys, causal, generator, present[: 4 if causal else 5])
    for mechanism in ("galerkin", "fourier"):
        yield placed.softmax_free_case(mechanism, 2, True, mechanism == "fourier", False, generator, present)
    for grid in ({"class_tokens": 1, "rows": 2, "columns": 3}, {"class_tokens": 0, "rows": 3, "columns": 3}):
        hidden = [1, 1, 0, 0, 1, 0, 0, 1, 1][: grid["class_tokens"] + grid["rows"] * grid["columns"]]
        yield placed.attention_sh_case(grid, [2, 1], False, 3, generator, hidden)
    for positions in ("alibi", "kerple_log"):
        yield placed.dape_case(positions, 3, True, False, generator, present)


def further_values():
    """Values of options that none of the cases before has."""
    generator = torch.Generator().manual_seed(2612)
    yield score_case("neural, second layer, first alone", None, True, True, True, QUERIES, generator, "first")
    for kind, keys in (("causal", QUERIES), ("cross", 7)):
        name = f"neural, paper, d'=1, {kind}, second layer of all"
        yield score_case(name, "paper, d'=1", kind == "causal", False, True, keys, generator, "all")
    yield staged_case("additive, causal, bias, as wide as heads", "additive", True, {"hidden": 0, "bias": True}, 3, generator)
    for alibi, causal in ((False, False), (True, True)):
        name = f"expressive, {'causal, alibi' if causal else 'cross'}, beta 0"
        yield staged_case(name, "expressive", causal, {"beta": 0.0, "alibi": alibi}, 3 if causal else 4, generator)
    for version, causal in (("values and results", False), ("values and results", True), ("marian", True)):
        yield mlp_qkv_case(version, generator, causal)
    for last, layer, causal in ((0, 0, False), (1, 0, True), (1, 1, True)):
        name = f"twicing, {'causal' if causal else 'self'}, last {last}, layer {layer} of 2"
        yield staged_case(name, "twicing", causal, {"last": last}, 3, generator, {"layer": layer, "layers": 2})
    for temperature, causal in (("fixed", True), ("factor", False), ("logarithm", True), ("network", False)):
        name = f"inter_token, {'causal' if causal else 'self'}, {temperature}, diagonal"
        yield staged_case(name, "inter_token", causal, {"diagonal": True, "temperature": temperature}, 3, generator)
    for beta, deviation, prior, causal in ((1.0, "divide", 0.0, True), (0.0, "divide", 8.0, True), (1.0, "multiply", 8.0, True),
                                           (1.0, "divide", 8.0, False)):
        options = {"beta": beta, "learned": False, "deviation": deviation, "prior": prior}
        options |= {"epsilon": 1e-2} if deviation == "divide" else {}
        name = f"attention_bn, {'causal' if causal else 'cross'}, {deviation}, beta {beta}, prior {prior}"
        yield staged_case(name, "attention_bn", causal, options, 3 if causal else 4, generator)
    yield staged_case("cosine, cross, factor", "cosine", False, {"temperature": "factor"}, 4, generator)
    for layer, causal in ((2, True), (1, False)):
        name = f"differential, {'causal' if causal else 'cross'}, initial of block {layer}"
        yield staged_case(name, "differential", causal, {"initial": 0.0}, 3 if causal else 4, generator,
                          {"layer": layer, "layers": 3})
    for order, normalisation in ((2, "centred_max_norm"), (1, "centred_sequence_max_norm"), (1, "max_norm")):
        options = {"order": order, "normalisation": normalisation}
        yield staged_case(f"fast, self, order {order}, {normalisation}", "fast", False, options, 3, generator)
    for decay, causal, temperature, rank in (("feature", True, 16.0, 2), ("head", False, 16.0, 2), ("fixed", False, 2.0, 3)):
        yield gated_linear_case(decay, causal, generator, temperature, rank)
    yield delta_rule_case("sum", False, generator)
    for causal in (True, False):
        yield associative_heads_case(causal, generator)
    for projections, causal in itertools.product(("all", "query_key"), (True, False)):
        yield care_case(projections, causal, generator)
    memory = {"slots": 3, "slot_width": 2, "memory_heads": 1}
    yield associative_case({"layer": "workspace"} | memory | {"beta": 0.5, "retrieval_steps": 2}, generator)


def main():
    lines = [json.dumps(one).replace('"data"', '\n "data"') for one in cases()]
    head = json.dumps({"torch": torch.__version__, "about": "written by mechanisms.py, which says what the fields mean"})
    text = head[:-1] + ',\n"cases": [\n' + ",\n".join(lines) + "\n]}\n"
    pathlib.Path(__file__).with_suffix(".json").write_text(text)


if __name__ == "__main__":
    main()
