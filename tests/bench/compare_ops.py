"""Ops of tapir and of PyTorch in turn, in one run on one machine: a table of medians and of the ratios pair by pair.

    python compare_ops.py --tapir BUILD/tests/tapir_ops [--threads 1] [--pairs 9] [--only NAME ...]

Needs the packages of tests/golden/requirements.txt.
"""

import argparse
import pathlib
import statistics
import sys

from stepper import Stepper, environment

HERE = pathlib.Path(__file__).resolve().parent
NAMES = """add sub mul div bias_add maximum neg exp log sqrt rsqrt square sin tanh sigmoid softplus relu gelu gelu_tanh silu erf
mish elu softmax log_softmax logsumexp sum_rows sum_columns sum_all var_rows norm_rows max_rows cumsum_rows cumsum_columns
matmul_512 matmul_heads linear linear_256 linear_up linear_down layer_norm rms_norm group_norm concat transpose_copy
index_select sort_rows dropout embedding
bilinear_colours bilinear_channels pixel_shuffle rfft irfft bce_with_logits cross_entropy_10000 cross_entropy_33278
conv2d_3 conv2d_16 conv2d_64 conv2d_128 conv2d_256 conv2d_stride conv2d_1x1 depthwise_64 depthwise_128""".split()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tapir", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--only", nargs="*", default=NAMES + ["adamw"])
    options = parser.parse_args()

    tapir = Stepper([options.tapir, str(options.threads)], environment())
    torch = Stepper([sys.executable, str(HERE / "pytorch_ops.py"), str(options.threads)], environment())

    def columns(work):
        pairs = [(tapir.step(work), torch.step(work)) for _ in range(options.pairs)]
        mine, theirs = (statistics.median(times) for times in zip(*pairs))
        ratio = statistics.median(a / b for a, b in pairs)
        return f"{mine:.3f} | {theirs:.3f} | {ratio:.2f}"

    print("| op | tapir ms | PyTorch ms | ratio | with gradient: tapir ms | PyTorch ms | ratio |\n|---|---|---|---|---|---|---|")
    for name in options.only:
        backward = "" if name == "adamw" else columns(name + " backward")
        print(f"| {name} | {columns(name)} | {backward or ' | | '} |", flush=True)
    tapir.finish()
    torch.finish()


if __name__ == "__main__":
    main()
