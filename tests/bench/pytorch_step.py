"""Training steps of the reference in tests/golden, one at a time, so that a driver can interleave another program's.

    python pytorch_step.py --data DATA --variant dot --threads 1 [--compile]

Prints `ready` after two warm-up steps. Then each line `step` on standard input takes one step (forward, backward,
clipping, AdamW) and prints the milliseconds that it took. At the end of the input a line of JSON sums up.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
import pytorch_setup

pytorch_setup.configure()

import language_model as reference
import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--variant", choices=reference.VARIANTS, default="dot")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compile model and loss (needs a C++ compiler)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    settings = reference.Settings(variant=options.variant)
    corpus = reference.Corpus(options.data / "wikitext-2")
    rows = reference.streams(corpus.train, settings.batch)
    model = reference.LanguageModel(settings, len(corpus.types))
    reference.initialise(model, settings.seed)
    if settings.variant != "dot":
        reference.initialise_open_gate(model, reference.batch(rows, settings.length, 0)[0], settings.seed)
    optimizer = reference.make_optimizer(model, settings)
    loss_function = torch.compile(reference.mean_loss) if options.compile else reference.mean_loss

    def step(k):
        begin = time.perf_counter()
        reference.train_step(model, optimizer, settings, rows, k, loss_function)
        return 1e3 * (time.perf_counter() - begin)

    for k in range(2):
        step(k)
    print("ready", flush=True)
    times = []
    for line in sys.stdin:
        if line.strip() != "step":
            sys.exit(f"pytorch_step: expected `step`, found `{line.strip()}`")
        times.append(step(len(times) + 2))
        print(f"{times[-1]:.3f}", flush=True)
    if times:
        summary = {
            "variant": options.variant,
            "threads": options.threads,
            "compiled": options.compile,
            "steps": len(times),
            "median_ms": statistics.median(times),
            "min_ms": min(times),
            "sgemm_1024_gflops": pytorch_setup.matrix_gflops(torch.float32),
            "versions": pytorch_setup.versions(),
            "cpu": pytorch_setup.cpu(),
        }
        print(json.dumps(summary), flush=True)


if __name__ == "__main__":
    main()
