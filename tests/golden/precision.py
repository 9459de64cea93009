"""Golden values of bf16: PyTorch's conversion of float32 numbers, and its float32 products of converted operands.

    python precision.py        writes precision.json beside this file

Numbers of the conversion are their bits.
"""

import json
import pathlib

import torch

GENERATOR = torch.Generator().manual_seed(754)


def normal(*shape):
    return torch.randn(shape, generator=GENERATOR)


def bits(x):
    return [value & 0xFFFFFFFF for value in x.view(torch.int32).tolist()]


def entry(x):
    return {"shape": list(x.shape), "data": x.double().flatten().tolist()}


def conversion():
    exponents = torch.randint(-149, 128, (200,), generator=GENERATOR)
    every_size = torch.ldexp(normal(200).double(), exponents).float()
    ties = [1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 2.0**-126, 2.0**-133, 2.0**-134, 3 * 2.0**-134, 2.0**-149, 0.0, -0.0]
    ends = [torch.finfo(torch.float32).max, torch.finfo(torch.bfloat16).max, float("inf"), float("-inf")]
    x = torch.cat([every_size, torch.tensor(ties + ends)])
    return {"float": bits(x), "bf16": bits(x.bfloat16().float())}


def products():
    for a, b in (((5, 7), (7, 6)), ((3, 4, 33), (3, 33, 5)), ((2, 1, 4, 9), (3, 9, 2)), ((1, 300), (300, 1))):
        a, b = normal(*a), normal(*b)
        y = torch.matmul(a.bfloat16().float(), b.bfloat16().float())
        yield {"a": entry(a), "b": entry(b), "y": entry(y)}


if __name__ == "__main__":
    values = {"torch": torch.__version__, "conversion": conversion(), "products": list(products())}
    path = pathlib.Path(__file__).with_name("precision.json")
    path.write_text(json.dumps(values, separators=(",", ":")) + "\n")
