"""Golden values of nn/models/implicit.h in float64, written with PyTorch alone.

    python implicit.py        writes implicit.json beside this file

Each case: options by their keys, weights, places x, targets; outputs y, the gradients of mean((y - targets)^2) with respect to
weights and places, and its values before each of ten steps of Adam.
"""

import json
import math
import pathlib

import torch
from torch.nn.functional import linear

torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(2020)
INPUTS, OUTPUTS, WIDTH, LAYERS, POINTS = 2, 3, 7, 3, 9
MEAN = [0.25, -0.5, 0.125]


def uniform(*shape):
    return 2 * torch.rand(*shape, generator=generator) - 1


def tensor(values):
    return {"shape": list(values.shape), "data": values.detach().flatten().tolist()}


KERNELS = {
    "linear": lambda z: z,
    "polynomial": lambda z: (z + 1) ** 2,
    "gaussian": lambda z: torch.exp(-(z**2) / 2),
    "laplacian": lambda z: torch.exp(-z.abs()),
}


class Constant(torch.autograd.Function):
    """What autograd takes for a constant, without detach()."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return torch.zeros_like(gradient)


ACTIVATIONS = {
    "sine": lambda z, omega: torch.sin(omega * z),
    "finer": lambda z, omega: torch.sin(omega * (z.abs() + 1) * z),
    "finer_detached": lambda z, omega: torch.sin(omega * Constant.apply(z.abs() + 1) * z),
    "relu": lambda z, omega: torch.relu(z),
}


def output(options, weights, x):
    h = KERNELS[options.get("kernel", "linear")](options.get("scale", 1.0) * x)
    if options.get("encoding") == "positional":
        angles = [2**r * math.pi * h for r in range(options["frequencies"])]
        h = torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], -1)
    for n in range(LAYERS + 1):
        z = linear(h, weights[f"layers.{n}.weight"], weights[f"layers.{n}.bias"])
        omega = options.get("omega" if n else "first_omega", 30.0)
        h = z if n == LAYERS else ACTIVATIONS[options.get("activation", "sine")](z, omega)
    return h + torch.tensor(MEAN) if options.get("shift") == "mean" else h


def case(options):
    sizes = [2 * options["frequencies"] * INPUTS if options.get("encoding") else INPUTS, *[WIDTH] * LAYERS, OUTPUTS]
    weights = {}
    for n, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        weights[f"layers.{n}.weight"] = uniform(outputs, inputs) / math.sqrt(inputs)
        weights[f"layers.{n}.bias"] = uniform(outputs) / math.sqrt(inputs)
    x, targets = uniform(POINTS, INPUTS).requires_grad_(), uniform(POINTS, OUTPUTS)
    recorded = {"options": options, "weights": {name: tensor(value) for name, value in weights.items()}}
    recorded |= {"x": tensor(x), "targets": tensor(targets)}
    for value in weights.values():
        value.requires_grad_()
    loss = ((output(options, weights, x) - targets) ** 2).mean()
    of = {"x": x, **weights}
    recorded["y"] = tensor(output(options, weights, x))
    recorded["gradients"] = {name: tensor(g) for name, g in zip(of, torch.autograd.grad(loss, of.values()))}
    adam, recorded["losses"] = torch.optim.Adam(weights.values(), lr=1e-3, betas=(0.9, 0.95)), []
    for _ in range(10):
        adam.zero_grad()
        loss = ((output(options, weights, x.detach()) - targets) ** 2).mean()
        recorded["losses"].append(loss.item())
        loss.backward()
        adam.step()
    return recorded


def main():
    waves = {"omega": 3.0, "first_omega": 8.0}
    cases = [{"activation": name} | (waves if name != "relu" else {}) for name in ACTIVATIONS]
    cases += [{"kernel": name, "scale": 1.5, **waves} for name in KERNELS]
    cases += [{"activation": "relu", "encoding": "positional", "frequencies": 4, "scale": 0.75, "shift": "mean"}]
    cases += [{"activation": "finer", "scale": 5.0, "shift": "mean", **waves}]
    golden = {
        "torch": torch.__version__,
        "about": "written by implicit.py, which says what the fields mean",
        "sizes": {"inputs": INPUTS, "outputs": OUTPUTS, "width": WIDTH, "layers": LAYERS},
        "mean": MEAN,
        "cases": [case(options) for options in cases],
    }
    text = json.dumps(golden).replace('"data"', '\n "data"')
    pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
