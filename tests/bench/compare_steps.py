"""Training steps of tapir and of PyTorch in turn, in one run on one machine: medians, minima and the ratio pair by pair; and the
most memory of each beyond its program and data.

    python compare_steps.py --tapir BUILD/tests/tapir_step [--data DATA] [--variant dot] [--threads 1] [--pairs 15] [--compile]
                            [--plain-malloc]

DATA is the folder of data sets (TAPIR_DATA), which steps on text need. Needs the packages of tests/golden/requirements.txt.
"""

import argparse
import pathlib
import statistics
import sys

from stepper import Stepper, environment

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TEXT, IMAGES = ROOT / "attention" / "reproduce" / "experiments", ROOT / "tests" / "golden"
BATCH = ["run.dtype=f32", "train.batch=128"]
NEURAL = ["attention.mechanism=score_mlp", "attention.form=paper", "attention.layers=all", "attention.reduced=2"]
EXPERIMENTS = {  # file, and what is set besides
    "dot": (TEXT / "wikitext2-dot-product.toml", []),
    "neural-released": (TEXT / "wikitext2-score-mlp.toml", []),
    "neural-paper": (TEXT / "wikitext2-score-mlp-paper.toml", []),
    "image-dot": (IMAGES / "images.toml", BATCH),
    "image-neural-paper": (IMAGES / "images.toml", BATCH + NEURAL),
    "image-resnet": (IMAGES / "images-resnet.toml", BATCH),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tapir", required=True)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path.home() / ".cache" / "tapir")
    parser.add_argument("--variant", choices=EXPERIMENTS, default="dot")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="PyTorch's torch.compile")
    parser.add_argument("--plain-malloc", action="store_true", help="PyTorch's memory comes and goes as malloc likes: slower, less of it")
    options = parser.parse_args()

    variables = environment() | {"TAPIR_DATA": str(options.data)}
    experiment, settings = EXPERIMENTS[options.variant]
    tapir = Stepper([options.tapir, str(experiment), str(options.threads), *settings], variables)
    torch_command = [sys.executable, str(HERE / "pytorch_step.py"), "--data", str(options.data), "--variant", options.variant,
                     "--threads", str(options.threads)]
    chosen = [f"--{name}" for name in ("compile", "plain-malloc") if getattr(options, name.replace("-", "_"))]
    torch = Stepper(torch_command + chosen, variables)

    pairs = [(tapir.step(), torch.step()) for _ in range(options.pairs)]
    peaks = tapir.peak(), torch.peak()
    tapir.finish()
    torch.finish()
    for name, times in zip(("tapir", "pytorch"), zip(*pairs)):
        print(f"{name:<8} median {statistics.median(times):8.1f} ms   min {min(times):8.1f} ms")
    ratios = [a / b for a, b in pairs]
    print(f"tapir / pytorch, {options.variant}, {options.threads} thread(s): median {statistics.median(ratios):.3f}   "
          f"min {min(ratios):.3f}   max {max(ratios):.3f}")
    print(f"peak memory: tapir {peaks[0]:.0f} MiB, pytorch {peaks[1]:.0f} MiB, ratio {peaks[0] / peaks[1]:.2f}")


if __name__ == "__main__":
    main()
