"""Golden values of dot-product and Neural Attention in float64, straight from the papers' formulas.

    python mechanisms.py        writes mechanisms.json beside this file

Scaled dot product:  s_ij = q_i . k_j / sqrt(D)
Neural Attention:    s_ij = N([q'_i ; k'_j]),  q' = P_q q + p_q,  k' = P_k k + p_k  (arXiv 2502.17206)
  paper form:        N(z) = w . relu(W z + b) + b_a
  released form:     N(z) = w . relu(W2 relu(W1 z + b1) + b2) + b3
  scale:             s_ij / sqrt(D);  shared: one N for all heads, else parameters have a leading axis H.
Then o_i = sum_j softmax_j(s_ij) v_j, over j <= i when causal. Every pair [q'_i ; k'_j] is concatenated.

Each case holds q (B,H,T,D), k and v (B,H,S,D), the parameters, an upstream gradient g (B,H,T,D), the output and the
gradients of sum(output * g). Its score network is drawn again until, in each head and hidden layer, 20 % to 80 % of
the units over all allowed pairs are above 0 (`gate_active_share`), each unit is both on and off for the keys of some
query (else its bias would cancel in the softmax), and none lies within 1e-3 of the kink.
"""

import itertools
import json
import math
import pathlib

import torch

BATCH, HEADS, QUERIES, WIDTH = 2, 2, 5, 4
FORMS = {  # layers from [q';k'] to the score: (name, outputs, inputs)
    "released, d'=2": (2, [("hidden1", 2, 4), ("hidden2", 1, 2), ("out", 1, 1)]),
    "released, d'=4": (4, [("hidden1", 4, 8), ("hidden2", 2, 4), ("out", 1, 2)]),
    "paper, d'=2": (2, [("hidden", 6, 4), ("out", 1, 6)]),
}


def draw_parameters(form, shared, generator):
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)); shapes (out, in) and (out), with a leading H when not shared."""
    reduced, layers = FORMS[form]
    lead, parameters = [] if shared else [HEADS], {}
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


def attend(scores, v, allowed):
    weights = torch.where(allowed, torch.exp(scores - scores.amax(-1, keepdim=True)), 0.0)
    return torch.einsum("bhij,bhjd->bhid", weights / weights.sum(-1, keepdim=True), v)


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


def tensor(values):
    return {"shape": list(values.shape), "data": values.detach().flatten().tolist()}


def case(name, options, keys, generator):
    def normal(length):
        return torch.randn(BATCH, HEADS, length, WIDTH, generator=generator, dtype=torch.float64)

    inputs = {"q": normal(QUERIES), "k": normal(keys), "v": normal(keys)}
    upstream, shares, parameters = normal(QUERIES), None, {}
    allowed = torch.ones(QUERIES, keys, dtype=torch.bool)
    if options["causal"]:
        allowed = allowed.tril()
    if options["mechanism"] == "neural":
        _, layers = FORMS[options["form"]]
        while shares is None:
            parameters = draw_parameters(options["form"], options["shared"], generator)
            shares = open_gates(neural_scores(inputs["q"], inputs["k"], parameters, layers)[1], allowed)

    leaves = {key: value.requires_grad_() for key, value in (inputs | parameters).items()}
    if options["mechanism"] == "neural":
        scores = neural_scores(inputs["q"], inputs["k"], parameters, layers)[0]
    else:
        scores = torch.einsum("bhid,bhjd->bhij", inputs["q"], inputs["k"])
    if options["scale"]:
        scores = scores / math.sqrt(WIDTH)
    output = attend(scores, inputs["v"], allowed)
    gradients = torch.autograd.grad((output * upstream).sum(), list(leaves.values()))
    return {
        "name": name,
        **options,
        "gate_active_share": shares,
        "inputs": {key: tensor(value) for key, value in inputs.items()},
        "parameters": {key: tensor(value) for key, value in parameters.items()},
        "upstream": tensor(upstream),
        "output": tensor(output),
        "gradients": {key: tensor(value) for key, value in zip(leaves, gradients)},
    }


def cases():
    generator = torch.Generator().manual_seed(2502)
    lengths = {"causal": QUERIES, "self": QUERIES, "cross": 7}
    for kind, keys in lengths.items():
        options = {"mechanism": "dot_product", "form": None, "causal": kind == "causal", "scale": True, "shared": True}
        yield case(f"dot product, {kind}", options, keys, generator)
    for form, kind, shared, scale in itertools.product(FORMS, ("causal", "cross"), (True, False), (False, True)):
        options = {"mechanism": "neural", "form": form, "causal": kind == "causal", "scale": scale, "shared": shared}
        words = [form, kind, "shared" if shared else "per head"] + ["scaled"] * scale
        yield case(f"neural, {', '.join(words)}", options, lengths[kind], generator)


def main():
    lines = [json.dumps(one).replace('"data"', '\n "data"') for one in cases()]
    head = json.dumps({"torch": torch.__version__, "about": "written by mechanisms.py, which says what the fields mean"})
    text = head[:-1] + ',\n"cases": [\n' + ",\n".join(lines) + "\n]}\n"
    pathlib.Path(__file__).with_suffix(".json").write_text(text)


if __name__ == "__main__":
    main()
