"""Golden values of ops in float64: PyTorch's values and gradients, for inputs with ties, NaN and repeated indices.

    python ops.py        writes ops.json beside this file

Each case names the op, its options and inputs (integers: indices and targets), the output and the gradients of
sum(output * upstream) with respect to the floating inputs. Numbers that are not finite are strings.
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F

GENERATOR = torch.Generator().manual_seed(1803)


def normal(*shape):
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64)


def integers(high, *shape):
    return torch.randint(high, shape, generator=GENERATOR)


def entry(values):
    data = values.detach().flatten().tolist()
    return {"shape": list(values.shape), "data": [x if math.isfinite(x) else str(x) for x in data]}


def case(op, function, inputs, **options):
    """`function` returns the output, or the output and a dict of further results without a gradient."""
    leaves = {key: value.clone().requires_grad_() for key, value in inputs.items() if value.is_floating_point()}
    result = function(*(inputs | leaves).values())
    output, more = result if isinstance(result, tuple) else (result, {})
    upstream = normal(*output.shape)
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


def main():
    cases = [*norms(), *losses(), *by_index(), *shapes()]
    head = json.dumps({"torch": torch.__version__, "about": "written by ops.py, which says what the fields mean"})
    text = head[:-1] + ',\n"cases": [\n' + ",\n".join(json.dumps(one) for one in cases) + "\n]}\n"
    pathlib.Path(__file__).with_suffix(".json").write_text(text)


if __name__ == "__main__":
    main()
