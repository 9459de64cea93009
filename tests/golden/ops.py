"""Golden values of ops in float64: PyTorch's values and gradients, for inputs with ties, NaN and repeated indices; where
PyTorch takes another sub-gradient at a tie, for inputs without ties.

    python ops.py        writes ops.json beside this file

Each case names the op, its options and inputs (integers: indices and targets), the output and the gradients of
sum(output * upstream) with respect to the floating inputs. Numbers that are not finite are strings.
"""

import functools
import json
import math
import pathlib

import torch
import torch.nn.functional as F

GENERATOR = torch.Generator().manual_seed(1803)


def normal(*shape):
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64)


def distinct(*shape, scale=1):
    """Numbers of few digits around 0, 0.2 scale apart; no two are the same but for a sign, none is 0."""
    n = math.prod(shape)
    return scale * (20 * (torch.randperm(n, generator=GENERATOR) - n // 2) + 3).double().reshape(shape) / 100


def integers(high, *shape):
    return torch.randint(high, shape, generator=GENERATOR)


def number(x):
    return x if math.isfinite(x) else str(x)


def entry(values):
    return {"shape": list(values.shape), "data": [number(x) for x in values.detach().flatten().tolist()]}


def case(op, function, inputs, draw=normal, **options):
    """`function` returns the output, or the output and a dict of further results without a gradient; `draw` the cotangent."""
    leaves = {key: value.clone().requires_grad_() for key, value in inputs.items() if value.is_floating_point()}
    result = function(*(inputs | leaves).values())
    output, more = result if isinstance(result, tuple) else (result, {})
    upstream = draw(*output.shape)
    gradients = torch.autograd.grad(output, list(leaves.values()), upstream)
    return {
        "op": op,
        "options": options,
        "inputs": {key: entry(value) for key, value in inputs.items()},
        "upstream": entry(upstream),
        "output": entry(output),
        "more": {key: entry(value) for key, value in more.items()},
        "gradients": {key: entry(value) for key, value in zip(leaves, gradients)},
    }


short_case = functools.partial(case, draw=distinct)


def norms():
    x = {"x": normal(3, 4, 7), "weight": normal(7)}
    yield case("rms_norm", lambda x, w: F.rms_norm(x, (7,), w, 1e-5), x, epsilon=1e-5)
    for shape, groups in (((2, 6, 3, 4), 3), ((3, 4, 5), 1), ((4, 6), 2)):
        x = {"x": 3 + 2 * normal(*shape), "weight": normal(shape[1]), "bias": normal(shape[1])}
        yield case("group_norm", lambda x, w, b: F.group_norm(x, groups, w, b, 1e-5), x, groups=groups, epsilon=1e-5)
    for shape in ((3, 4, 2, 5), (6, 3), (4, 3, 5)):
        x = {"x": 3 + 2 * normal(*shape), "weight": normal(shape[1]), "bias": normal(shape[1])}

        def train(x, w, b):
            mean, variance = torch.zeros(2, shape[1], dtype=torch.float64)
            y = F.batch_norm(x, mean, variance, w, b, training=True, momentum=1, eps=1e-5)
            return y, {"running_mean": mean, "running_variance": variance}

        yield case("batch_norm", train, x, epsilon=1e-5)
        statistics = {"mean": normal(shape[1]), "variance": 0.5 + normal(shape[1]).square()}

        def infer(x, w, b):
            return F.batch_norm(x, statistics["mean"], statistics["variance"], w, b, training=False, eps=1e-5)

        made = case("batch_norm, inference", infer, x, epsilon=1e-5)
        made["inputs"] |= {key: entry(value) for key, value in statistics.items()}
        yield made


def losses():
    for ignored, smoothing in ((-1, 0), (-1, 0.1), (2, 0.3), (-100, 1)):
        targets = integers(5, 4, 3)
        targets[1, 0] = targets[3, 2] = ignored
        inputs = {"logits": 3 * normal(4, 3, 5), "targets": targets}

        def loss(x, t):
            return F.cross_entropy(
                x.flatten(0, 1), t.flatten(), ignore_index=ignored, label_smoothing=smoothing, reduction="sum"
            )

        yield case("cross_entropy", loss, inputs, ignored=ignored, label_smoothing=smoothing)
    x, t = normal(5, 4), normal(5, 4)
    t[0] = x[0]  # d = 0
    x[1], t[1] = torch.tensor([1.5, 2, -1, 0]), torch.tensor([0.5, 0, 0, 2])  # |d| = beta too
    yield case("squared_error", lambda x, t: F.mse_loss(x, t, reduction="sum"), {"x": x, "target": t})
    yield case("l1", lambda x, t: F.l1_loss(x, t, reduction="sum"), {"x": x, "target": t})
    for beta in (1.0, 0.25, 2.0):
        inputs = {"x": x, "target": t}
        yield case("smooth_l1", lambda x, t: F.smooth_l1_loss(x, t, beta=beta, reduction="sum"), inputs, beta=beta)
    x = torch.cat([normal(8), torch.tensor([0, 30, -30, 30, -30, 800, -800, 800, -800], dtype=torch.float64)])
    t = torch.cat([torch.rand(9, generator=GENERATOR, dtype=torch.float64), torch.tensor([1, 0, 0, 1] * 2)])
    inputs = {"x": x, "target": t}
    yield case("bce_with_logits", lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="sum"), inputs)
    log_q, p = normal(4, 6).log_softmax(-1), normal(4, 6).softmax(-1)
    yield case("kl_div", lambda q, p: F.kl_div(q, p, reduction="sum"), {"log_q": log_q, "p": p})
    p[0, 2] = p[3, 5] = 0  # no gradient of p: PyTorch's is infinite there
    made = case("kl_div", lambda q: F.kl_div(q, p, reduction="sum"), {"log_q": log_q})
    made["inputs"]["p"] = entry(p)
    yield made


def by_index():
    ties = integers(4, 3, 9).double()
    ties[1, 2] = ties[1, 5] = ties[2, 0] = math.nan
    infinite = torch.tensor([[math.inf, -1, math.nan, -math.inf, 0, -0.0, math.nan, math.inf]], dtype=torch.float64)
    for x in (ties, normal(3, 9), infinite):
        for axis in (0, 1):
            for descending in (False, True):

                def sort(x):
                    values, indices = torch.sort(x, dim=axis, descending=descending, stable=True)
                    return values, {"indices": indices}

                yield case("sort", sort, {"x": x}, axis=axis, descending=descending)
    x = torch.stack([torch.randperm(9, generator=GENERATOR) for _ in range(3)]).double()  # no ties: PyTorch leaves them open
    x[1, 4] = math.nan

    def topk(x):
        values, indices = torch.topk(x, 4, 1)
        return values, {"indices": indices}

    yield case("topk", topk, {"x": x}, axis=1, k=4)
    for axis in (0, 1, 2):
        shape = [3, 4, 2]
        x, shape[axis] = normal(*shape), 6
        inputs = {"x": x, "indices": integers(x.shape[axis], *shape)}
        yield case("gather", lambda x, i: torch.gather(x, axis, i), inputs, axis=axis)
        inputs |= {"source": normal(*shape)}
        yield case("scatter_add", lambda x, i, s: torch.scatter_add(x, axis, i, s), inputs, axis=axis)
        inputs = {"x": x, "indices": integers(x.shape[axis], 5)}
        yield case("index_select", lambda x, i: torch.index_select(x, axis, i), inputs, axis=axis)


def shapes():
    x = {"x": normal(2, 4, 5)}
    yield case("flip", lambda x: torch.flip(x, [1]), x, axis=1)
    yield case("permute", lambda x: torch.permute(x, [2, 0, 1]), x, axes=[2, 0, 1])
    for k in (-2, 0, 3):
        yield case("tril", lambda x: torch.tril(x, k), x, k=k)
        yield case("triu", lambda x: torch.triu(x, k), x, k=k)


def functions():
    ordinary = [-8.2, -1.5, -0.7, -0.03, 0.06, 0.7, 1.5, 6.2]
    x = {"x": torch.tensor(ordinary, dtype=torch.float64)}
    positive = {"x": x["x"].abs()}
    for name in ("neg", "exp", "expm1", "abs", "square", "reciprocal", "sin", "cos", "tanh", "sigmoid", "relu", "erf"):
        yield short_case(name, getattr(torch, name), x)
    for name in ("log", "log1p", "sqrt", "rsqrt"):
        yield short_case(name, getattr(torch, name), positive)
    for name, function in (("softplus", F.softplus), ("gelu", F.gelu), ("silu", F.silu), ("log_sigmoid", F.logsigmoid)):
        yield short_case(name, function, x)
    yield short_case("mish", F.mish, x)
    yield short_case("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), x)
    for slope in (0.01, 0.2):
        yield short_case("leaky_relu", lambda x: F.leaky_relu(x, slope), x, slope=slope)
    for alpha in (1.0, 1.5):
        yield short_case("elu", lambda x: F.elu(x, alpha), x, alpha=alpha)
    for low, high in ((-0.8, 1.3), (-math.inf, 0.1), (-1.6, math.inf)):
        yield short_case("clamp", lambda x: torch.clamp(x, low, high), x, low=number(low), high=number(high))
    for exponent in (0.0, 2.0, 3.0, -2.0):
        yield short_case("pow", lambda x: torch.pow(x, exponent), x, exponent=exponent)
    for exponent in (2.5, -0.3):
        yield short_case("pow", lambda x: torch.pow(x, exponent), positive, exponent=exponent)
    yield short_case("affine", lambda x: 3 * x - 0.5, x, factor=3, shift=-0.5)
    at_kinks = {"x": torch.tensor([-1, 0, 1], dtype=torch.float64)}
    yield short_case("relu", torch.relu, at_kinks)
    yield short_case("leaky_relu", lambda x: F.leaky_relu(x, 0.2), at_kinks, slope=0.2)
    yield short_case("abs", torch.abs, at_kinks)


def pairs():
    both = {"a": distinct(2, 1, 3), "b": distinct(4, 1)}
    for name in ("add", "sub", "mul", "div", "maximum", "minimum"):
        yield short_case(name, getattr(torch, name), both)
    yield short_case("power", torch.pow, {"a": both["a"].abs(), "b": both["b"]})
    condition = {"condition": integers(2, 2, 4, 3)}
    yield short_case("where", lambda c, a, b: torch.where(c.bool(), a, b), condition | both)
    yield short_case("matmul", torch.matmul, {"a": distinct(2, 1, 2, 3), "b": distinct(2, 3, 2)})
    of_rows = {"x": distinct(2, 2, 3), "weight": distinct(4, 3)}
    yield short_case("linear", F.linear, of_rows)
    yield short_case("linear, bias", F.linear, of_rows | {"bias": distinct(4)})


def reductions():
    x = {"x": distinct(2, 3, 2)}
    by_name = {
        "sum": torch.sum,
        "mean": torch.mean,
        "max": torch.amax,
        "min": torch.amin,
        "var": torch.var,
        "logsumexp": torch.logsumexp,
    }
    for name, function in by_name.items():
        if name != "logsumexp":
            yield short_case(name, function, x)
        for axis, keep in ((0, True), (1, False), (-1, False)):
            if name != "logsumexp" or axis == -1:
                yield short_case(name, lambda x: function(x, dim=axis, keepdim=keep), x, axis=axis, keep=keep)
    for axis, correction in ((0, 0), (1, 1.5)):
        options = {"axis": axis, "keep": False, "correction": correction}
        yield short_case("var", lambda x: torch.var(x, axis, correction=correction), x, **options)
    for p in (1, 2, math.inf):
        norm = functools.partial(torch.linalg.vector_norm, ord=p)
        yield short_case("norm", norm, x, p=number(p))
        for axis, keep in ((1, True), (2, False)):
            yield short_case("norm", lambda x: norm(x, dim=axis, keepdim=keep), x, p=number(p), axis=axis, keep=keep)
    yield short_case("sum_to", lambda x: x.sum_to_size(3, 1), x, shape=[3, 1])


def scans():
    x = {"x": distinct(2, 3, 2)}
    for axis in (0, 1, -1):
        yield short_case("cumsum", lambda x: torch.cumsum(x, axis), x, axis=axis, reverse=False)
        yield short_case("logcumsumexp", lambda x: torch.logcumsumexp(x, axis), x, axis=axis)
    yield short_case("cumsum", lambda x: torch.cumsum(x.flip(1), 1).flip(1), x, axis=1, reverse=True)
    yield short_case("logcumsumexp", lambda x: torch.logcumsumexp(x, 0), {"x": distinct(9, scale=1000)}, axis=0)
    steps = {"a": distinct(2, 4, 2), "b": distinct(2, 4, 2)}
    for reverse in (False, True):

        def recurrence(a, b):
            y, rows = torch.zeros_like(a[:, 0]), []
            for t in reversed(range(4)) if reverse else range(4):
                y = a[:, t] * y + b[:, t]
                rows.insert(0 if reverse else len(rows), y)
            return torch.stack(rows, 1)

        yield short_case("linear_recurrence", recurrence, steps, axis=1, reverse=reverse)


def softmaxes():
    for scale in (1, 500):  # the second: exp overflows
        x = {"x": distinct(3, 5, scale=scale)}
        yield short_case("softmax", lambda x: torch.softmax(x, -1), x)
        yield short_case("log_softmax", lambda x: torch.log_softmax(x, -1), x)
        yield short_case("logsumexp", lambda x: torch.logsumexp(x, -1), x, axis=-1, keep=False)
    scores = distinct(2, 1, 2, 4)
    keys = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1]])
    for offset in (None, 1, 2):  # no row is without keys: PyTorch makes it NaN

        def masked(x, keys):
            allowed = keys.bool()[:, None, None]
            if offset is not None:
                allowed = allowed & torch.ones(2, 4, dtype=torch.bool).tril(offset)
            return torch.softmax(x.masked_fill(~allowed, -math.inf), -1)

        options = {"causal": offset is not None, "offset": offset or 0}
        yield short_case("softmax, mask", masked, {"x": scores, "keys": keys}, **options)


def moves():
    x = {"x": distinct(2, 3, 2)}
    yield short_case("reshape", lambda x: x.reshape(4, -1), x, shape=[4, -1])
    yield short_case("transpose", lambda x: x.transpose(0, 2), x, a=0, b=2)
    yield short_case("slice", lambda x: x.narrow(1, 1, 2), x, axis=1, begin=1, length=2)
    for axis in (0, 1, 2):
        sides = [0, 0] * (2 - axis) + [1, 2]
        yield short_case("pad", lambda x: F.pad(x, sides), x, axis=axis, before=1, after=2)
    yield short_case("expand", lambda x: x.expand(2, 3, 2), {"x": distinct(3, 1)}, shape=[2, 3, 2])
    two = {"a": distinct(2, 3), "b": distinct(2, 3)}
    for axis in (0, 1, 2):
        yield short_case("stack", lambda a, b: torch.stack([a, b], axis), two, axis=axis)
    two = {"a": distinct(2, 1, 3), "b": distinct(2, 4, 3)}
    yield short_case("concat", lambda a, b: torch.cat([a, b], 1), two, axis=1)
    indices = {"indices": integers(4, 2, 5)}
    yield short_case("embedding", lambda i, x: F.embedding(i, x), indices | {"x": distinct(4, 3)})

    def scatter_rows(i, x):
        return torch.zeros(6, 2, dtype=torch.float64).index_add(0, i.flatten(), x.flatten(0, 1))

    yield short_case("scatter_rows", scatter_rows, indices | {"x": distinct(2, 5, 2)}, size=6)
    of_rows = {"x": 3 + distinct(2, 2, 4), "weight": distinct(4), "bias": distinct(4)}
    for epsilon in (1e-5, 0.5):
        yield short_case("layer_norm", lambda x, w, b: F.layer_norm(x, (4,), w, b, epsilon), of_rows, epsilon=epsilon)


def channels_first(x):
    """(B,H,W,C) to PyTorch's (B,C,H,W); (B,T,C) to (B,C,T)."""
    return x.movedim(-1, 1)


def channels_last(x):
    return x.movedim(1, -1)


def pytorch_weight(w):
    """(kh,kw,C/groups,O) to (O,C/groups,kh,kw); (k,C/groups,O) to (O,C/groups,k)."""
    return w.movedim((-1, -2), (0, 1))


def convolutions():
    cases = (
        ((2, 4, 5, 3), (3, 2, 3, 4), dict(stride=1, padding=1, dilation=1, groups=1)),
        ((1, 6, 5, 4), (3, 3, 2, 6), dict(stride=2, padding=1, dilation=1, groups=2)),
        ((1, 7, 6, 3), (2, 3, 1, 6), dict(stride=1, padding=2, dilation=2, groups=3)),
        ((1, 5, 4, 2), (1, 1, 2, 3), dict(stride=3, padding=0, dilation=1, groups=1)),
    )
    for shape, kernel, options in cases:
        x, w = normal(*shape), normal(*kernel)

        def convolution(x, w):
            return channels_last(F.conv2d(channels_first(x), pytorch_weight(w), **options))

        yield case("conv2d", convolution, {"x": x, "weight": w}, **options)
        g = normal(*convolution(x, w).shape)
        for added in range(options["stride"]):

            def transposed(g, w):
                y = F.conv_transpose2d(channels_first(g), pytorch_weight(w), output_padding=added, **options)
                return channels_last(y)

            yield case("conv_transpose2d", transposed, {"g": g, "weight": w}, added=added, **options)

        def for_weight(x, g):
            w = torch.nn.grad.conv2d_weight(
                channels_first(x), pytorch_weight(normal(*kernel)).shape, channels_first(g), **options
            )
            return w.movedim((0, 1), (-1, -2))

        yield case("conv2d_weight", for_weight, {"x": x, "g": g}, rows=kernel[0], columns=kernel[1], **options)
    x, w, g, options = normal(2, 7, 4), normal(3, 2, 6), normal(2, 4, 6), dict(stride=2, padding=1, dilation=1, groups=2)

    def sequences(x, w):
        return channels_last(F.conv1d(channels_first(x), pytorch_weight(w), **options))

    def transposed_sequences(g, w):
        return channels_last(F.conv_transpose1d(channels_first(g), pytorch_weight(w), output_padding=1, **options))

    yield case("conv1d", sequences, {"x": x, "weight": w}, **options)
    yield case("conv_transpose1d", transposed_sequences, {"g": g, "weight": w}, added=1, **options)


def patches():
    for shape, kernel, options in (
        ((2, 4, 5, 3), (3, 2), dict(stride=1, padding=1, dilation=1)),
        ((1, 6, 7, 2), (2, 3), dict(stride=2, padding=2, dilation=2)),
    ):
        x = normal(*shape)

        def unfold(x):
            y = F.unfold(channels_first(x), kernel, **options)  # (B, C kh kw, H' W')
            rows = (shape[1] + 2 * options["padding"] - (kernel[0] - 1) * options["dilation"] - 1) // options["stride"] + 1
            y = y.reshape(shape[0], shape[3], *kernel, rows, -1)
            return y.permute(0, 4, 5, 2, 3, 1).flatten(3)

        def fold(windows):
            y = windows.reshape(*windows.shape[:3], *kernel, shape[3]).permute(0, 5, 3, 4, 1, 2)
            return channels_last(F.fold(y.flatten(1, 3).flatten(2), shape[1:3], kernel, **options))

        numbers = dict(rows=kernel[0], columns=kernel[1], **options)
        yield case("unfold", unfold, {"x": x}, **numbers)
        windows = {"windows": normal(*unfold(x).shape)}
        yield case("fold", fold, windows, height=shape[1], width=shape[2], **numbers)


def images():
    """tapir's images have their channels last."""
    x = {"x": distinct(2, 3, 4, 2)}
    first, last = (0, 3, 1, 2), (0, 2, 3, 1)
    for height, width in ((5, 7), (2, 3), (6, 2), (3, 4), (1, 9)):
        for corners in (False, True):

            def bilinear(x):
                y = F.interpolate(x.permute(first), (height, width), mode="bilinear", align_corners=corners)
                return y.permute(last)

            yield short_case("bilinear", bilinear, x, height=height, width=width, align_corners=corners)
    for size in (1, 4, 5, 11):
        for corners in (False, True):
            line = functools.partial(F.interpolate, size=size, mode="linear", align_corners=corners)
            yield short_case("interpolate", line, {"x": distinct(2, 3, 5)}, axis=2, size=size, align_corners=corners)
            at = torch.zeros(2, 3, 5, dtype=torch.float64, requires_grad=True)

            def adjoint(y):
                return torch.autograd.grad(line(at), at, y, create_graph=True)[0]

            y = {"x": distinct(2, 3, size)}
            yield short_case("interpolate_adjoint", adjoint, y, axis=2, size=5, align_corners=corners)
    shuffle = lambda x: F.pixel_shuffle(x.permute(first), 2).permute(last)
    yield short_case("pixel_shuffle", shuffle, {"x": distinct(2, 2, 3, 8)}, r=2)
    unshuffle = lambda x: F.pixel_unshuffle(x.permute(first), 2).permute(last)
    yield short_case("pixel_unshuffle", unshuffle, {"x": distinct(2, 4, 6, 2)}, r=2)


def spectra():
    """tapir's complex values have a last axis of 2. Imaginary parts that have to be 0 are not read."""
    for n in (1, 2, 5, 6, 12):
        yield short_case("rfft", lambda x: torch.view_as_real(torch.fft.rfft(x)), {"x": distinct(3, n)})
        X = {"x": distinct(3, n // 2 + 1, 2)}
        yield short_case("irfft", lambda x: torch.fft.irfft(torch.view_as_complex(x.contiguous()), n), X, n=n)


def pooling():
    x = normal(2, 5, 6, 3)
    x[0, 1, 2, 0] = math.nan
    x[1, 2, 3, 1] = x[1, 2, 2, 1] = 9  # a tie
    for kernel, stride, padding in (((2, 2), 2, 0), ((3, 2), 2, 1), ((3, 3), 1, 1)):
        numbers = dict(rows=kernel[0], columns=kernel[1], stride=stride, padding=padding, dilation=1)

        def largest(x):
            return channels_last(F.max_pool2d(channels_first(x), kernel, stride, padding))

        def average(x):
            return channels_last(F.avg_pool2d(channels_first(x), kernel, stride, padding))

        yield case("max_pool2d", largest, {"x": x}, **numbers)
        yield case("average_pool2d", average, {"x": x}, **numbers)
    for height, width in ((1, 1), (2, 3), (3, 4)):

        def adaptive(x):
            return channels_last(F.adaptive_avg_pool2d(channels_first(x), (height, width)))

        yield case("adaptive_average_pool2d", adaptive, {"x": x}, height=height, width=width)


def main():
    cases = [*norms(), *losses(), *by_index(), *shapes()]
    cases += [*functions(), *pairs(), *reductions(), *scans(), *softmaxes(), *moves()]
    cases += [*convolutions(), *patches(), *pooling(), *images(), *spectra()]
    head = json.dumps({"torch": torch.__version__, "about": "written by ops.py, which says what the fields mean"})
    text = head[:-1] + ',\n"cases": [\n' + ",\n".join(json.dumps(one) for one in cases) + "\n]}\n"
    pathlib.Path(__file__).with_suffix(".json").write_text(text)


if __name__ == "__main__":
    main()
