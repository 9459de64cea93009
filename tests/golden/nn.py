"""Golden values of nn/ in float64: optimisers, schedules, norms, positions, grouped heads, biases of places.

    python nn.py        writes nn.json beside this file

AdamW, SGD, the schedules, RMSNorm and grouped-query attention are PyTorch's own. Lion and Muon follow their papers' code,
Muon's products in float64 instead of bfloat16. Rotary positions are products of complex numbers; the slopes of ALiBi are
computed by the function of its authors.
"""

import json
import math
import pathlib

import torch
from torch.nn import functional

torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(2017)


def normal(*shape):
    return torch.randn(*shape, generator=generator)


def tensor(values):
    return {"shape": list(values.shape), "data": values.detach().flatten().tolist()}


# ---- optimisers


def newton_schulz(g):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.mT if g.size(-2) > g.size(-1) else g
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if g.size(-2) > g.size(-1) else x


class Lion:
    def __init__(self, groups, lr, betas):
        self.groups, self.lr, self.betas, self.m = groups, lr, betas, {}

    def step(self):
        b1, b2 = self.betas
        for group in self.groups:
            for p in group["params"]:
                m = self.m.get(p, torch.zeros_like(p))
                update = torch.sign(b1 * m + (1 - b1) * p.grad)
                p.data = p.data - self.lr * (update + group["weight_decay"] * p.data)
                self.m[p] = b2 * m + (1 - b2) * p.grad


class Muon:
    """Of hidden matrices."""

    def __init__(self, matrices, lr, momentum, weight_decay):
        self.matrices, self.lr, self.momentum, self.decay, self.m = matrices, lr, momentum, weight_decay, {}

    def step(self):
        for p in self.matrices:
            m = self.m[p] = torch.lerp(self.m.get(p, torch.zeros_like(p)), p.grad, 1 - self.momentum)
            update = newton_schulz(torch.lerp(p.grad, m, self.momentum))
            p.data = p.data * (1 - self.lr * self.decay)
            p.data = p.data - self.lr * max(1, p.size(-2) / p.size(-1)) ** 0.5 * update


def groups(parameters, decay):
    """Weights of linear layers decay, the head's too; biases do not."""
    return [
        {"params": [parameters[name] for name in ("weight", "wide", "head")], "weight_decay": decay},
        {"params": [parameters["bias"]], "weight_decay": 0},
    ]


def adamw(parameters):
    return [torch.optim.AdamW(groups(parameters, 0.3), lr=0.05, betas=(0.8, 0.97), eps=1e-3)]


def sgd(nesterov):
    return lambda parameters: [
        torch.optim.SGD(groups(parameters, 0.3), lr=0.05, momentum=0.8, nesterov=nesterov)
    ]


def lion(parameters):
    return [Lion(groups(parameters, 0.3), 0.05, (0.9, 0.97))]


def muon(parameters):
    rest = [
        {"params": [parameters["head"]], "weight_decay": 0.3},
        {"params": [parameters["bias"]], "weight_decay": 0},
    ]
    return [
        Muon([parameters["weight"], parameters["wide"]], 0.05, 0.9, 0.3),
        torch.optim.AdamW(rest, lr=0.05 * 0.2, betas=(0.8, 0.97), eps=1e-3),
    ]


def optimisers():
    start = {"weight": normal(4, 3), "wide": normal(2, 5), "head": normal(3, 2), "bias": normal(4)}
    gradients = [{name: normal(*value.shape) for name, value in start.items()} for _ in range(6)]
    ends = {}
    makers = {"adamw": adamw, "sgd": sgd(False), "sgd, nesterov": sgd(True), "lion": lion, "muon": muon}
    for name, make in makers.items():
        parameters = {key: torch.nn.Parameter(value.clone()) for key, value in start.items()}
        parts = make(parameters)
        for step in gradients:
            for key, value in step.items():
                parameters[key].grad = value.clone()
            for part in parts:
                part.step()
        ends[name] = {key: tensor(value) for key, value in parameters.items()}
    return {
        "start": {key: tensor(value) for key, value in start.items()},
        "gradients": [{key: tensor(value) for key, value in step.items()} for step in gradients],
        "ends": ends,
    }


# ---- schedules: 20 steps, 4 of warm-up, highest rate 2, floor 0.1


def rates(make):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule, values = make(optimiser), []
    for _ in range(20):
        values.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return values


def warm_up_stable_decay(optimiser):
    schedules = torch.optim.lr_scheduler
    parts = [
        schedules.LinearLR(optimiser, 0.25, 1.0, total_iters=3),
        schedules.ConstantLR(optimiser, 1.0, total_iters=1),
        schedules.LinearLR(optimiser, 1.0, 0.1, total_iters=5),
    ]
    return schedules.SequentialLR(optimiser, parts, milestones=[4, 15])


def inverse_square_root(optimiser):
    """Vaswani et al. 2017, eq. 3, scaled to reach 1 after 4 steps."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda k: 4**0.5 * min((k + 1) ** -0.5, (k + 1) * 4**-1.5)
    )


# ---- attention


def turned(x, offset):
    """Neighbouring channels as a complex number, times exp(i (t + offset) theta)."""
    tokens, width = x.shape[-2:]
    theta = 10000.0 ** (-torch.arange(0, width, 2) / width)
    angles = torch.outer(torch.arange(tokens) + offset, theta)
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], width // 2, 2).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def slopes(n):
    def of_power_of_2(n):
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]

    if math.log2(n).is_integer():
        return of_power_of_2(n)
    closest = 2 ** math.floor(math.log2(n))
    return of_power_of_2(closest) + slopes(2 * closest)[0::2][: n - closest]


def attention(positions, key_heads, causal):
    q, k, v = normal(1, 4, 5 if causal else 3, 4), normal(1, key_heads, 5, 4), normal(1, key_heads, 5, 4)
    leaves = [x.requires_grad_() for x in (q, k, v)]
    bias = torch.zeros(4, q.shape[2], 5)
    if causal:
        bias = bias.masked_fill(~torch.ones(5, 5, dtype=torch.bool).tril(), -math.inf)
    if positions == "alibi":
        distance = (torch.arange(q.shape[2])[:, None] - torch.arange(5)[None]).abs()
        bias = bias - torch.tensor(slopes(4))[:, None, None] * distance
    if positions == "rotary":
        q, k = turned(q, 0), turned(k, 0)
    y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, enable_gqa=True)
    g = normal(*y.shape)
    gradients = torch.autograd.grad((y * g).sum(), leaves)
    return {
        "positions": positions,
        "key_heads": key_heads,
        "causal": causal,
        "q": tensor(leaves[0]),
        "k": tensor(leaves[1]),
        "v": tensor(leaves[2]),
        "upstream": tensor(g),
        "output": tensor(y),
        "gradients": [tensor(x) for x in gradients],
    }


# ---- biases of places


def t5_buckets(ahead, causal):
    """Raffel et al. 2020: 32 buckets, up to the distance 128; `ahead`: how far a key stands before (< 0) or after a query."""
    own = 32 if causal else 16
    exact = own // 2
    distance = (-ahead).clamp(min=0) if causal else ahead.abs()
    ranges = exact + (own - exact) * (distance.clamp(min=1) / exact).log2() / math.log2(128 / exact)
    bucket = torch.where(distance < exact, distance, ranges.floor().clamp(max=own - 1).long())
    return bucket if causal else bucket + 16 * (ahead > 0)


class Fire(torch.nn.Module):
    """Li et al. 2023, section 3."""

    def __init__(self, heads):
        super().__init__()
        self.c = torch.nn.Parameter(0.3 * normal(1))
        self.threshold = torch.nn.Parameter(torch.tensor([-151.1 / 512]))   # between the queries of bias()
        self.hidden, self.out = torch.nn.Linear(1, 32), torch.nn.Linear(32, heads)
        for parameter in [*self.hidden.parameters(), *self.out.parameters()]:
            parameter.data = normal(*parameter.shape)

    def forward(self, query, distance):
        def psi(x):
            return torch.log(self.c.abs() * x + 1)

        far = psi(torch.maximum(query, 512 * self.threshold.abs())) + 1e-6
        return self.out(functional.relu(self.hidden((psi(distance) / far)[..., None]))).permute(2, 0, 1)


class KerpleLog(torch.nn.Module):
    """Chi et al. 2022."""

    def __init__(self, heads):
        super().__init__()
        self.r1, self.r2 = torch.nn.Parameter(normal(heads)), torch.nn.Parameter(normal(heads))

    def forward(self, query, distance):
        r1, r2 = (r.abs()[:, None, None] for r in (self.r1, self.r2))
        return -r1 * torch.log(1 + r2 * distance)


def bias(positions, causal):
    heads, queries, keys, offset = 2, 3, 160, 150
    query = (torch.arange(queries) + offset)[:, None]
    ahead = torch.arange(keys)[None] - query
    if positions == "t5":
        module = torch.nn.Embedding(32, heads)
        module.weight.data = normal(32, heads)
        y = module(t5_buckets(ahead, causal)).permute(2, 0, 1)
    else:
        module = KerpleLog(heads) if positions == "kerple_log" else Fire(heads)
        y = module(query.double(), ahead.abs().double())
    names = {name: "table." + name if positions == "t5" else name for name, _ in module.named_parameters()}
    g = normal(*y.shape)
    gradients = torch.autograd.grad((y * g).sum(), list(module.parameters()))
    return {
        "positions": positions,
        "causal": causal,
        "offset": offset,
        "parameters": {names[name]: tensor(value) for name, value in module.named_parameters()},
        "upstream": tensor(g),
        "bias": tensor(y),
        "gradients": {names[name]: tensor(value) for (name, _), value in zip(module.named_parameters(), gradients)},
    }


def main():
    x, weight = normal(3, 5), normal(5)
    line = normal(2, 3, 6)
    golden = {
        "torch": torch.__version__,
        "about": "written by nn.py, which says what the fields mean",
        "optimisers": optimisers(),
        "schedules": {"wsd": rates(warm_up_stable_decay), "inverse_sqrt": rates(inverse_square_root)},
        "rms_norm": {
            "x": tensor(x),
            "weight": tensor(weight),
            "y": tensor(functional.rms_norm(x, (5,), weight, eps=1e-6)),
        },
        "rotary": {"x": tensor(line), "y": tensor(turned(line, 0)), "y from 100": tensor(turned(line, 100))},
        "slopes": {str(n): slopes(n) for n in range(1, 21)},
        "attention": [
            attention(positions, key_heads, causal)
            for positions, key_heads, causal in [
                ("none", 2, True),
                ("none", 1, False),
                ("rotary", 4, True),
                ("rotary", 2, False),
                ("alibi", 4, True),
                ("alibi", 1, False),
            ]
        ],
        "biases": [bias(*one) for one in [("kerple_log", True), ("fire", True), ("t5", True), ("t5", False)]],
    }
    text = json.dumps(golden).replace('"data"', '\n "data"')
    pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
