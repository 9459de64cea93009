"""Golden values of a training batch of the Associative Transformer's layer in float64, from the formulas (arXiv 2309.12862).

    python associative.py       writes associative.json beside this file

    xi = LN(z), all tokens of the batch in one list;  A = q k^T / sqrt(m), q = memory Wq, k = xi Wk, v = xi Wv in S heads
    G: softmax over the k largest of a row;  r = LN([G v] Wo + memory), or without the memory;  epsilon 1e-6
    written = rows of (1 - alpha) memory + alpha r, divided by their lengths
    P = W3 memory' + b3;  xi <- P^T softmax(beta P xi), T times;  output = LN(z) + xi
    balance = sum over heads of CV2(sum_j G_ji) + CV2(#{j: G_ji > 0}),  CV2(x) = var(x) / (mean(x)^2 + 1e-10)
read = "new": memory' is what was written, without a gradient where `gradient` is "detached"; "old": the memory.

Each case holds these options, z, the memory, the parameters by their names, an upstream gradient g; the output, what was
written, the balance, and the gradients of sum(output * g) + 0.5 balance: null where there is no path to it.
"""

import json
import math
import pathlib

import torch
from torch.nn.functional import layer_norm

torch.set_default_dtype(torch.float64)
SAMPLES, TOKENS, WIDTH = 3, 4, 6
SLOTS, SLOT_WIDTH, HEADS, SELECTED, RATE, BALANCE = 5, 3, 2, 4, 0.1, 0.5


def tensor(values):
    return {"shape": list(values.shape), "data": values.detach().flatten().tolist()}


def draw(generator, *shape, scale=1.0):
    return scale * torch.randn(*shape, generator=generator)


def squared_variation(x):
    return x.var() / (x.mean() ** 2 + 1e-10)


def forward(p, z, memory, options):
    xi = layer_norm(z, [WIDTH], p["feed_forward_norm.weight"], p["feed_forward_norm.bias"], 1e-5)
    every = xi.reshape(-1, WIDTH)
    heads, balance = [], 0.0
    for s in range(HEADS):
        own = slice(s * SLOT_WIDTH, (s + 1) * SLOT_WIDTH)
        q, k, v = (
            x @ p[f"workspace.{name}.weight"][own].T for x, name in ((memory, "query"), (every, "key"), (every, "value"))
        )
        scores = q @ k.T / math.sqrt(SLOT_WIDTH)
        weights = []
        for row in scores:
            chosen = torch.argsort(row, descending=True)[:SELECTED]
            weights.append(torch.zeros_like(row).index_put((chosen,), torch.softmax(row[chosen], 0)))
        weights = torch.stack(weights)
        balance = balance + squared_variation(weights.sum(0)) + squared_variation((weights > 0).double().sum(0))
        heads.append(weights @ v)
    change = torch.cat(heads, 1) @ p["workspace.out.weight"].T + (memory if options["residual"] else 0.0)
    r = layer_norm(change, [SLOT_WIDTH], p["workspace.norm.weight"], p["workspace.norm.bias"], 1e-6)
    written = (1 - RATE) * memory + RATE * r
    written = written / written.norm(dim=1, keepdim=True)
    read = memory if options["read"] == "old" else written if options["gradient"] == "differentiable" else written.detach()
    patterns = read @ p["workspace.patterns.weight"].T + p["workspace.patterns.bias"]
    found = xi
    for _ in range(options["steps"]):
        found = torch.softmax(found @ patterns.T, -1) @ patterns
    return xi + found, written, balance


def case(options, generator):
    inner = HEADS * SLOT_WIDTH
    shapes = {
        "feed_forward_norm.weight": (WIDTH,),
        "feed_forward_norm.bias": (WIDTH,),
        "workspace.query.weight": (inner, SLOT_WIDTH),
        "workspace.key.weight": (inner, WIDTH),
        "workspace.value.weight": (inner, WIDTH),
        "workspace.out.weight": (SLOT_WIDTH, inner),
        "workspace.norm.weight": (SLOT_WIDTH,),
        "workspace.norm.bias": (SLOT_WIDTH,),
        "workspace.patterns.weight": (WIDTH, SLOT_WIDTH),
        "workspace.patterns.bias": (WIDTH,),
    }
    parameters = {name: draw(generator, *shape, scale=0.7).requires_grad_() for name, shape in shapes.items()}
    z = draw(generator, SAMPLES, TOKENS, WIDTH).requires_grad_()
    memory, upstream = draw(generator, SLOTS, SLOT_WIDTH), draw(generator, SAMPLES, TOKENS, WIDTH)
    output, written, balance = forward(parameters, z, memory, options)
    leaves = {"z": z} | parameters
    gradients = torch.autograd.grad((output * upstream).sum() + BALANCE * balance, list(leaves.values()), allow_unused=True)
    return {
        "name": ", ".join(f"{key} {value}" for key, value in options.items()),
        **options,
        "z": tensor(z),
        "memory": tensor(memory),
        "parameters": {name: tensor(value) for name, value in parameters.items()},
        "upstream": tensor(upstream),
        "output": tensor(output),
        "written": tensor(written),
        "balance": balance.item(),
        "gradients": {name: None if g is None else tensor(g) for name, g in zip(leaves, gradients)},
    }


def main():
    generator = torch.Generator().manual_seed(2309)
    cases = [
        case({"gradient": gradient, "read": read, "residual": residual, "steps": steps}, generator)
        for gradient, read, residual, steps in (
            ("detached", "new", True, 1),
            ("differentiable", "new", True, 2),
            ("differentiable", "new", False, 1),
            ("detached", "old", True, 1),
        )
    ]
    lines = [json.dumps(one).replace('"data"', '\n "data"') for one in cases]
    head = json.dumps({"torch": torch.__version__, "about": "written by associative.py, which says what the fields mean"})
    text = head[:-1] + ',\n"cases": [\n' + ",\n".join(lines) + "\n]}\n"
    pathlib.Path(__file__).with_suffix(".json").write_text(text)


if __name__ == "__main__":
    main()
