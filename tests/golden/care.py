"""Golden values of a block of nn/models/care_transformer.h in float64, in PyTorch's own layout (images (B,C,h,w)).

    python care.py        writes care.json beside this file

Three blocks: one of convolutions, one of attention, the last one. Of each in training: y, running statistics after it, gradients of
sum(y * upstream) with respect to x and weights; then y in evaluation. Weights and images are written as tapir has them: images
(B,h,w,C), kernels (kh,kw,C/groups,O), strips (k,C/groups,O), linear layers (O,I).
"""

import json
import pathlib

import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(2411)
M, HEAD, INNER, OUTER, BATCH, ROWS, COLUMNS = 4, 2, 2, 1, 2, 3, 4


def draw(*shape, scale=1.0):
    return torch.round(64 * scale * torch.randn(*shape, generator=generator)) / 64  # few digits


def tensor(values):
    return {"shape": list(values.shape), "data": values.detach().flatten().tolist()}


def interaction(name, channels, factor, last):
    hidden = factor * channels
    weights = {
        f"{name}.norm.weight": 1 + draw(channels, scale=0.3), f"{name}.norm.bias": draw(channels, scale=0.3),
        f"{name}.up.weight": draw(hidden, channels, 1, 1, scale=0.4), f"{name}.up.bias": draw(hidden, scale=0.3),
        f"{name}.depthwise.weight": draw(hidden, 1, 3, 3, scale=0.4), f"{name}.depthwise.bias": draw(hidden, scale=0.3),
    }
    if not last:
        weights |= {f"{name}.down.weight": draw(channels, hidden, 1, 1, scale=0.3), f"{name}.down.bias": draw(channels, scale=0.3)}
    return weights


def weights_of(kind):
    weights = {"small.weight": draw(M, 1, 3, 3, scale=0.4), "small.bias": draw(M), "large.weight": draw(M, 1, 7, 7, scale=0.3)}
    weights["large.bias"] = draw(M)
    if kind == "convolutions":
        weights |= {"rows.weight": draw(M, 1, 1, 11, scale=0.4), "rows.bias": draw(M)}
        weights |= {"columns.weight": draw(M, 1, 11, 1, scale=0.4), "columns.bias": draw(M)}
    else:
        for which in ("query", "key"):
            weights |= {f"attention.{which}.weight": draw(M, M, 1, 1), f"attention.{which}.bias": draw(M, scale=0.3)}
    weights |= interaction("inner", 3 * M, INNER, False) | interaction("outer", 4 * M, OUTER, kind == "last")
    if kind != "last":
        weights["branch.scale"] = draw(4 * M)
    return weights


def of_tapir(name, values):
    if values.dim() != 4:
        return values
    if ".up." in name or ".down." in name or "attention" in name:
        return values[:, :, 0, 0]
    if name == "rows.weight":
        return values[:, :, 0].permute(2, 1, 0)
    if name == "columns.weight":
        return values[..., 0].permute(2, 1, 0)
    return values.permute(2, 3, 1, 0)


def attention(w, x):
    def heads(t):
        return t.reshape(BATCH, M // HEAD, HEAD, ROWS * COLUMNS).transpose(2, 3)

    q, k = (F.elu(heads(F.conv2d(x, w[f"attention.{n}.weight"], w[f"attention.{n}.bias"]))) + 1 for n in ("query", "key"))
    n = ROWS * COLUMNS
    z = 1 / (q @ k.mean(2, keepdim=True).transpose(2, 3) + 1e-6)
    y = q @ (k.transpose(2, 3) * n**-0.5 @ (heads(x) * n**-0.5)) * z
    return y.transpose(2, 3).reshape(BATCH, M, ROWS, COLUMNS)


def mixed(w, name, x, statistics, training, last):
    mean, variance = statistics[f"{name}.norm.running_mean"], statistics[f"{name}.norm.running_variance"]
    y = F.batch_norm(x, mean, variance, w[f"{name}.norm.weight"], w[f"{name}.norm.bias"], training)
    y = F.gelu(F.conv2d(y, w[f"{name}.up.weight"], w[f"{name}.up.bias"]))
    y = F.conv2d(y, w[f"{name}.depthwise.weight"], w[f"{name}.depthwise.bias"], padding=1, groups=y.shape[1])
    return y if last else x + F.conv2d(y, w[f"{name}.down.weight"], w[f"{name}.down.bias"])


def block(kind, w, x, statistics, training):
    memory, a, small, large = x.split(M, 1)
    if kind == "convolutions":
        a = F.conv2d(a, w["rows.weight"], w["rows.bias"], padding=(0, 5), groups=M) + F.conv2d(
            a, w["columns.weight"], w["columns.bias"], padding=(5, 0), groups=M)
    else:
        a = attention(w, a)
    small = F.conv2d(small, w["small.weight"], w["small.bias"], padding=1, groups=M)
    large = F.conv2d(large, w["large.weight"], w["large.bias"], padding=3, groups=M)
    features = mixed(w, "inner", torch.cat((a, small, large), 1), statistics, training, False)
    y = mixed(w, "outer", torch.cat((memory, features), 1), statistics, training, kind == "last")
    return y if kind == "last" else x + w["branch.scale"][:, None, None] * y


def case(kind):
    w = {name: value.requires_grad_() for name, value in weights_of(kind).items()}
    x = draw(BATCH, 4 * M, ROWS, COLUMNS).requires_grad_()
    statistics = {}
    for name, channels in (("inner", 3 * M), ("outer", 4 * M)):
        statistics |= {f"{name}.norm.running_mean": torch.zeros(channels), f"{name}.norm.running_variance": torch.ones(channels)}
    y = block(kind, w, x, statistics, True)
    upstream = draw(*y.shape)
    (y * upstream).sum().backward()

    def image(values):
        return tensor(values.permute(0, 2, 3, 1))

    return {
        "kind": kind,
        "parameters": {name: tensor(of_tapir(name, value)) for name, value in w.items()},
        "x": image(x),
        "upstream": image(upstream),
        "y": image(y),
        "statistics": {name: tensor(value) for name, value in statistics.items()},
        "gradients": {name: tensor(of_tapir(name, value.grad)) for name, value in w.items()} | {"x": image(x.grad)},
        "evaluated": image(block(kind, w, x, statistics, False)),
    }


def main():
    about = "written by care.py, which says what the fields mean"
    sizes = {"memory": M, "head": HEAD, "inner": INNER, "outer": OUTER}
    cases = [case(kind) for kind in ("convolutions", "attention", "last")]
    text = json.dumps({"torch": torch.__version__, "about": about, **sizes, "cases": cases}).replace('"data"', '\n "data"')
    pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
