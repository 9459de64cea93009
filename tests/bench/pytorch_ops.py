"""Ops in f32 in PyTorch, one at a time: the other side of tapir_ops.cc and cases.h, whose protocol and shapes these are.

    python pytorch_ops.py THREADS
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
import pytorch_setup

pytorch_setup.configure()

import torch
import torch.nn.functional as F

LEAST_OF = 3
WIDE, ROWS, WIDTH = (2048, 1024), (16384, 256), (2048, 768)


class ChannelsLast(tuple):
    """A shape in PyTorch's order whose memory has the channels last, in which its convolutions are fastest."""


def tokens(count, vocabulary):
    return torch.arange(count) * 7919 % vocabulary


def of_channels(function, x, *arguments, **options):
    """The function of images whose channels come last, in memory too."""
    return function(x.permute(0, 3, 1, 2), *arguments, **options).permute(0, 2, 3, 1)


def cases():
    table = {name: ([WIDE], getattr(torch, name)) for name in
             ("neg", "exp", "log", "sqrt", "rsqrt", "square", "sin", "tanh", "sigmoid", "relu", "erf")}
    table |= {name: ([WIDE, WIDE], getattr(torch, name)) for name in ("add", "sub", "mul", "div", "maximum")}
    table |= {
        "bias_add": ([WIDE, (1024,)], torch.add),
        "softplus": ([WIDE], F.softplus),
        "gelu": ([WIDE], F.gelu),
        "gelu_tanh": ([WIDE], lambda x: F.gelu(x, approximate="tanh")),
        "silu": ([WIDE], F.silu),
        "mish": ([WIDE], F.mish),
        "elu": ([WIDE], F.elu),
        "softmax": ([ROWS], lambda x: torch.softmax(x, -1)),
        "log_softmax": ([ROWS], lambda x: torch.log_softmax(x, -1)),
        "logsumexp": ([ROWS], lambda x: torch.logsumexp(x, -1)),
        "sum_rows": ([WIDE], lambda x: x.sum(1)),
        "sum_columns": ([WIDE], lambda x: x.sum(0)),
        "sum_all": ([WIDE], torch.sum),
        "matmul_512": ([(512, 512), (512, 512)], torch.matmul),
        "matmul_heads": ([(32, 256, 64), (32, 64, 256)], torch.matmul),
        "linear": ([WIDTH, (3072, 768), (3072,)], F.linear),
        "linear_256": ([(8192, 256), (256, 256), (256,)], F.linear),
        "linear_up": ([(8192, 256), (1024, 256), (1024,)], F.linear),
        "linear_down": ([(8192, 1024), (256, 1024), (256,)], F.linear),
        "layer_norm": ([WIDTH, (768,), (768,)], lambda x, weight, bias: F.layer_norm(x, (768,), weight, bias)),
        "rms_norm": ([WIDTH, (768,)], lambda x, weight: F.rms_norm(x, (768,), weight)),
        "group_norm": ([(16, 64, 32, 32), (64,), (64,)], lambda x, weight, bias: F.group_norm(x, 8, weight, bias)),
        "var_rows": ([WIDE], lambda x: x.var(1)),
        "norm_rows": ([WIDE], lambda x: torch.linalg.vector_norm(x, dim=1)),
        "max_rows": ([WIDE], lambda x: x.amax(1)),
        "cumsum_rows": ([WIDE], lambda x: x.cumsum(1)),
        "cumsum_columns": ([WIDE], lambda x: x.cumsum(0)),
        "index_select": ([WIDE], lambda x, ids=tokens(2048, 2048): x.index_select(0, ids)),
        "sort_rows": ([WIDE], lambda x: x.sort(1).values),
        "bce_with_logits": ([WIDE, WIDE], lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="sum")),
        "bilinear_colours": ([(16, 64, 64, 3)], lambda x: of_channels(F.interpolate, x, (224, 224), mode="bilinear")),
        "bilinear_channels": ([(16, 14, 14, 384)], lambda x: of_channels(F.interpolate, x, (24, 24), mode="bilinear")),
        "pixel_shuffle": ([(16, 64, 64, 48)], lambda x: of_channels(F.pixel_shuffle, x, 4).contiguous()),
        "rfft": ([WIDE], lambda x: torch.view_as_real(torch.fft.rfft(x))),
        "irfft": ([(2048, 513, 2)], lambda x: torch.fft.irfft(torch.view_as_complex(x), 1024)),
        "concat": ([WIDE, WIDE], lambda a, b: torch.cat([a, b], 1)),
        "transpose_copy": ([WIDE], lambda x: (x.T * x.T).contiguous()),
        "dropout": ([WIDE], lambda x: F.dropout(x, 0.1)),
        "embedding": ([(33278, 512)], lambda table, ids=tokens(2048, 33278): F.embedding(ids, table)),
    }
    for name, size, channels, outputs, kernel, stride, groups in (
        ("conv2d_3", 32, 3, 64, 3, 1, 1),
        ("conv2d_16", 32, 16, 16, 3, 1, 1),
        ("conv2d_64", 32, 64, 64, 3, 1, 1),
        ("conv2d_128", 16, 128, 128, 3, 1, 1),
        ("conv2d_256", 8, 256, 256, 3, 1, 1),
        ("conv2d_stride", 32, 64, 128, 3, 2, 1),
        ("conv2d_1x1", 32, 64, 128, 1, 2, 1),
        ("depthwise_64", 32, 64, 64, 3, 1, 64),
        ("depthwise_128", 16, 128, 128, 3, 1, 128),
    ):
        table[name] = (
            [ChannelsLast((32, channels, size, size)), ChannelsLast((outputs, channels // groups, kernel, kernel))],
            lambda x, weight, options=dict(stride=stride, padding=kernel // 2, groups=groups): F.conv2d(x, weight, **options))
    for vocabulary in (10000, 33278):
        table[f"cross_entropy_{vocabulary}"] = (
            [(2048, vocabulary)],
            lambda x, targets=tokens(2048, vocabulary): F.cross_entropy(x, targets, reduction="sum"))
    return table


def uniform(shape):
    x = torch.rand(shape) * 0.9 + 0.1
    return x.contiguous(memory_format=torch.channels_last) if isinstance(shape, ChannelsLast) else x


def runner(shapes, f, with_gradient):
    inputs = [uniform(shape) for shape in shapes]
    if not with_gradient:
        def forward():
            with torch.no_grad():
                f(*inputs)
        return forward
    for x in inputs:
        x.requires_grad_()
    g = torch.rand_like(f(*inputs).detach())
    return lambda: torch.autograd.grad(f(*inputs), inputs, g)


def adamw():
    parameter = torch.nn.Parameter(torch.randn(8192, 1024) * 0.02)
    parameter.grad = torch.rand(8192, 1024)
    return torch.optim.AdamW([parameter], lr=1e-4, weight_decay=0.1, fused=True).step


def main():
    torch.set_num_threads(int(sys.argv[1]))
    table = cases()
    print("ready", flush=True)
    current, run = None, None
    for line in sys.stdin:
        work = line.strip()
        if work != current:
            run = None   # frees the last op's tensors first
            name = work.split()[0]
            current, run = work, adamw() if name == "adamw" else runner(*table[name], work.endswith(" backward"))
            run()
        least = float("inf")
        for _ in range(LEAST_OF):
            begin = time.perf_counter()
            run()
            least = min(least, 1e3 * (time.perf_counter() - begin))
        print(least, flush=True)


if __name__ == "__main__":
    main()
