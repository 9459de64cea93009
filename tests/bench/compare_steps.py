"""Training steps of tapir and of PyTorch in turn, in one run on one machine: medians, minima and the ratio pair by pair.

    python compare_steps.py --tapir BUILD/tests/tapir_step --data DATA [--variant dot] [--threads 1] [--pairs 15] [--compile]

DATA is the folder of data sets (TAPIR_DATA). Needs the packages of tests/golden/requirements.txt.
"""

import argparse
import pathlib
import statistics
import sys

from stepper import Stepper, environment

HERE = pathlib.Path(__file__).resolve().parent
EXPERIMENTS = {"dot": "wikitext2-dot-product", "neural-released": "wikitext2-score-mlp", "neural-paper": "wikitext2-score-mlp-paper"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tapir", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--variant", choices=EXPERIMENTS, default="dot")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="PyTorch's torch.compile")
    options = parser.parse_args()

    variables = environment() | {"TAPIR_DATA": str(options.data)}
    experiment = HERE.parents[1] / "attention" / "reproduce" / "experiments" / f"{EXPERIMENTS[options.variant]}.toml"
    tapir = Stepper([options.tapir, str(experiment), str(options.threads)], variables)
    torch_command = [sys.executable, str(HERE / "pytorch_step.py"), "--data", str(options.data), "--variant", options.variant,
                     "--threads", str(options.threads)]
    torch = Stepper(torch_command + (["--compile"] if options.compile else []), variables)

    pairs = [(tapir.step(), torch.step()) for _ in range(options.pairs)]
    tapir.finish()
    torch.finish()
    for name, times in zip(("tapir", "pytorch"), zip(*pairs)):
        print(f"{name:<8} median {statistics.median(times):8.1f} ms   min {min(times):8.1f} ms")
    ratios = [a / b for a, b in pairs]
    print(f"tapir / pytorch, {options.variant}, {options.threads} thread(s): median {statistics.median(ratios):.3f}   "
          f"min {min(ratios):.3f}   max {max(ratios):.3f}")


if __name__ == "__main__":
    main()
