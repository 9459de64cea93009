"""Two builds of tapir in turn, in one run on one machine: what a change costs. Ops and a training step, ratio by ratio.

    python compare_builds.py --before BUILD/tests --after BUILD/tests [--threads 1] [--pairs 30] [--only NAME ... step]

A line for each op, without and with its gradient: medians, the median of the ratios after/before, and its 95 % interval from
order statistics (the binomial distribution, no assumption about the noise). Each pair has processes of its own: where memory lies
in a process favours one build or the other by more than most changes cost, in all pairs alike. Marked and counted: an interval
that lies wholly above 1.03, above 1.01 for the step. Exit status 1 if there is one. Python's standard library is enough.
"""

import argparse
import math
import pathlib
import statistics
import sys

from compare_ops import NAMES
from stepper import Stepper, environment

HERE = pathlib.Path(__file__).resolve().parent
EXPERIMENT = HERE.parents[1] / "attention" / "reproduce" / "experiments" / "quickstart-dot-product.toml"


def interval(ratios):
    """95 % interval of the median: order statistics k and n + 1 − k with P(fewer than k below the median) ≤ 2.5 %."""
    n, k, below = len(ratios), 0, 0.0
    while below + math.comb(n, k) / 2**n <= 0.025:
        below += math.comb(n, k) / 2**n
        k += 1
    ordered = sorted(ratios)
    return ordered[max(k - 1, 0)], ordered[n - max(k, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=pathlib.Path, required=True)
    parser.add_argument("--after", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--only", nargs="*", default=NAMES + ["adamw", "step"])
    options = parser.parse_args()

    programs = [[str(folder / "tapir_ops"), str(options.threads)] for folder in (options.before, options.after)]
    steps = [[str(folder / "tapir_step"), str(EXPERIMENT), str(options.threads)] for folder in (options.before, options.after)]
    slower = []

    def measure(command, work):
        program = Stepper(command, environment())
        milliseconds = min(program.step(work) for _ in range(5))
        program.finish()
        return milliseconds

    def compare(name, commands, work, limit):
        pairs = []
        for k in range(options.pairs):   # each build is the first of every second pair
            order = (0, 1) if k % 2 == 0 else (1, 0)
            times = {i: measure(commands[i], work) for i in order}
            pairs.append((times[0], times[1]))
        before, after = (statistics.median(times) for times in zip(*pairs))
        ratios = [b / a for a, b in pairs]
        low, high = interval(ratios)
        if low > limit:
            slower.append(name)
        mark = " slower" if low > limit else ""
        print(f"| {name} | {before:.3f} | {after:.3f} | {statistics.median(ratios):.3f} | {low:.3f} … {high:.3f} |{mark}", flush=True)

    print("| work | before ms | after ms | ratio | 95 % interval |\n|---|---|---|---|---|")
    for name in options.only:
        if name == "step":
            compare("training step", steps, "step", 1.01)
            continue
        compare(name, programs, name, 1.03)
        if name != "adamw":
            compare(name + " backward", programs, name + " backward", 1.03)
    print(f"{len(slower)} slower: {' '.join(slower)}" if slower else "none is slower")
    sys.exit(bool(slower))


if __name__ == "__main__":
    main()
