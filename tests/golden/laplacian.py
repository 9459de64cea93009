"""Golden values of nn/models/laplacian_former.h in float64, in PyTorch's own layout (images (B,C,h,w)).

    python laplacian.py        writes laplacian.json beside this file

A small network of two stages with a bridge, attention of three bands, the shortcut of each token or scrambled. Of both: logits,
gradients of sum(logits * upstream) with respect to pixels and weights. Weights and images are written as tapir has them: images
(B,h,w,C), kernels (kh,kw,C/groups,O), linear layers (O,I).
"""

import json
import pathlib

import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(2309)
WIDTHS, STRIDE, CLASSES, CHANNELS, BATCH, ROWS, COLUMNS, BANDS = (4, 8), 2, 3, 2, 2, 8, 4, 3
MATRICES = {4: (2, 2), 8: (2, 4)}  # rows and columns of a token's channels


def draw(*shape, scale=1.0):
    return torch.round(64 * scale * torch.randn(*shape, generator=generator)) / 64  # few digits


def tensor(values):
    return {"shape": list(values.shape), "data": values.detach().flatten().tolist()}


def linear(name, out, channels):
    return {f"{name}.weight": draw(out, channels, scale=0.7), f"{name}.bias": draw(out, scale=0.3)}


def norm(name, channels):
    return {f"{name}.weight": 1 + draw(channels, scale=0.3), f"{name}.bias": draw(channels, scale=0.3)}


def convolution(name, out, channels, kernel):
    return {f"{name}.weight": draw(out, channels, kernel, kernel, scale=0.3), f"{name}.bias": draw(out, scale=0.3)}


def network(name, c):
    weights = linear(f"{name}.up", 4 * c, c) | convolution(f"{name}.depthwise", 4 * c, 1, 3)
    return weights | norm(f"{name}.norm", 4 * c) | linear(f"{name}.down", c, 4 * c)


def block_weights(name, c):
    rows, columns = MATRICES[c]
    weights = norm(f"{name}.norm1", c) | norm(f"{name}.norm2", c) | network(f"{name}.mlp", c)
    for which in ("query", "key", "value", "out"):
        weights |= linear(f"{name}.attention.{which}", c, c)
    weights[f"{name}.attention.fusion"] = draw(2, c)
    return weights | linear(f"{name}.shortcut.inner", columns, columns) | linear(f"{name}.shortcut.outer", rows, rows)


def all_weights():
    fine, coarse = WIDTHS
    weights = convolution("stages.0.down", fine, CHANNELS, 7) | convolution("stages.1.down", coarse, fine, 3)
    for s, c in enumerate(WIDTHS):
        weights |= block_weights(f"stages.{s}.0", c) | norm(f"stages.{s}.norm", c)
        own = f"bridges.0.levels.{s}"
        weights |= linear(f"{own}.query", c, c) | linear(f"{own}.key", fine, c) | linear(f"{own}.value", fine, c)
        weights |= norm(f"{own}.norm", c) | network(f"{own}.mlp", c)
    weights |= linear("decoder.0.expand.linear", 4 * fine, coarse) | norm("decoder.0.expand.norm", fine)
    weights |= linear("decoder.0.merge", fine, 2 * fine) | block_weights("decoder.0.0", fine)
    weights |= linear("expand.linear", STRIDE**2 * fine, fine) | norm("expand.norm", fine)
    return weights | linear("head", CLASSES, fine)


def pointwise(w, name, x):
    return F.conv2d(x, w[f"{name}.weight"][:, :, None, None], w[f"{name}.bias"])


def normalised(w, name, x):
    y = F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)
    return y.permute(0, 3, 1, 2)


def mlp(w, name, x):
    u = pointwise(w, f"{name}.up", x)
    y = u + F.conv2d(u, w[f"{name}.depthwise.weight"], w[f"{name}.depthwise.bias"], padding=1, groups=u.shape[1])
    return pointwise(w, f"{name}.down", F.gelu(normalised(w, f"{name}.norm", y)))


def attention(w, name, x):
    q = torch.softmax(pointwise(w, f"{name}.query", x).flatten(2), 1)
    k = torch.softmax(pointwise(w, f"{name}.key", x).flatten(2), 2)
    v = pointwise(w, f"{name}.value", x).flatten(2)
    efficient = pointwise(w, f"{name}.out", ((k @ v.transpose(1, 2)).transpose(1, 2) @ q).unflatten(2, x.shape[2:]))
    level, context, blurred = x, 0, x
    for i in range(BANDS):
        own = torch.softmax(level.flatten(2), 2) @ level.flatten(2).transpose(1, 2)
        context = context + (torch.softmax(own, -1) if i == 0 else own)
        places = torch.arange(-i - 1.0, i + 2)
        kernel = torch.exp(-0.5 * (places / (1.6 * 2 ** (i / 3))) ** 2)
        kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
        lower = F.conv2d(blurred, kernel.expand(x.shape[1], 1, -1, -1), padding=i + 1, groups=x.shape[1])
        level, blurred = blurred - lower, lower
    frequency = (context.transpose(1, 2) @ q).unflatten(2, x.shape[2:])
    fusion = w[f"{name}.fusion"][:, None, :, None, None]
    return fusion[0] * efficient + fusion[1] * frequency


def shortcut(w, name, x, scrambled):
    batch, c, rows, columns = x.shape
    tokens = x.flatten(2).transpose(1, 2).contiguous()
    if scrambled:
        tokens = tokens.view(batch, c, rows * columns).permute(0, 2, 1)
    y = tokens.reshape(batch, rows * columns, *MATRICES[c])
    y = F.linear(y, w[f"{name}.inner.weight"], w[f"{name}.inner.bias"]).transpose(2, 3)
    y = F.linear(F.gelu(y), w[f"{name}.outer.weight"], w[f"{name}.outer.bias"]).transpose(2, 3)
    return y.reshape(batch, rows, columns, c).permute(0, 3, 1, 2)


def block(w, name, x, scrambled):
    t = x + attention(w, f"{name}.attention", normalised(w, f"{name}.norm1", x)) + shortcut(w, f"{name}.shortcut", x, scrambled)
    return t + mlp(w, f"{name}.mlp", normalised(w, f"{name}.norm2", t))


def bridge(w, maps):
    context = 0
    for s, x in enumerate(maps):
        own = f"bridges.0.levels.{s}"
        k, v = pointwise(w, f"{own}.key", x).flatten(2), pointwise(w, f"{own}.value", x).flatten(2)
        context = context + torch.softmax(k, 2) @ v.transpose(1, 2)
    all_maps = []
    for s, x in enumerate(maps):
        own = f"bridges.0.levels.{s}"
        q = torch.softmax(pointwise(w, f"{own}.query", x).reshape(BATCH, WIDTHS[0], -1), 1)
        z = (x.reshape(BATCH, WIDTHS[0], -1) + context.transpose(1, 2) @ q).reshape(x.shape)
        all_maps.append(z + mlp(w, f"{own}.mlp", normalised(w, f"{own}.norm", z)))
    return all_maps


def expand(w, name, x, factor):
    batch, _, rows, columns = x.shape
    y = pointwise(w, f"{name}.linear", x).reshape(batch, factor, factor, -1, rows, columns).permute(0, 3, 4, 1, 5, 2)
    return normalised(w, f"{name}.norm", y.reshape(batch, -1, factor * rows, factor * columns))


def former(w, pixels, scrambled):
    maps, x = [], pixels
    for s in range(2):
        stride, padding = (STRIDE, 3) if s == 0 else (2, 1)
        x = F.conv2d(x, w[f"stages.{s}.down.weight"], w[f"stages.{s}.down.bias"], stride, padding)
        x = normalised(w, f"stages.{s}.norm", block(w, f"stages.{s}.0", x, scrambled))
        maps.append(x)
    fine, coarse = bridge(w, maps)
    y = pointwise(w, "decoder.0.merge", torch.cat((expand(w, "decoder.0.expand", coarse, 2), fine), 1))
    y = block(w, "decoder.0.0", y, scrambled)
    return pointwise(w, "head", expand(w, "expand", y, STRIDE))


def of_tapir(values):
    return values.permute(2, 3, 1, 0) if values.dim() == 4 else values


def image(values):
    return tensor(values.permute(0, 2, 3, 1))


def case(w, pixels, upstream, scrambled):
    leaves = {name: value.clone().requires_grad_() for name, value in w.items()}
    x = pixels.clone().requires_grad_()
    logits = former(leaves, x, scrambled)
    (logits * upstream).sum().backward()
    gradients = {name: tensor(of_tapir(value.grad)) for name, value in leaves.items()} | {"pixels": image(x.grad)}
    return {"shortcut": "scrambled" if scrambled else "token", "logits": image(logits), "gradients": gradients}


def main():
    about = "written by laplacian.py, which says what the fields mean"
    sizes = {"widths": WIDTHS, "stride": STRIDE, "classes": CLASSES, "bands": BANDS}
    w, pixels, upstream = all_weights(), draw(BATCH, CHANNELS, ROWS, COLUMNS), draw(BATCH, CLASSES, ROWS, COLUMNS)
    inputs = {"parameters": {name: tensor(of_tapir(value)) for name, value in w.items()}}
    inputs |= {"pixels": image(pixels), "upstream": image(upstream)}
    cases = [case(w, pixels, upstream, scrambled) for scrambled in (False, True)]
    text = json.dumps({"torch": torch.__version__, "about": about, **sizes, **inputs, "cases": cases})
    pathlib.Path(__file__).with_suffix(".json").write_text(text.replace('"data"', '\n "data"') + "\n")


if __name__ == "__main__":
    main()
