"""Training steps of the references in tests/golden, one at a time, so that a driver can interleave another program's.

    python pytorch_step.py --data DATA --variant dot --threads 1 [--compile] [--plain-malloc]

Prints `loaded` when the data are there and the model is not, and `ready` after two warm-up steps. Then each line `step` on standard
input takes one step (forward, backward, clipping, AdamW) and prints the milliseconds that it took. At the end of the input a
line of JSON sums up. Steps on images have one batch of random pixels: nothing of them is read.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
import pytorch_setup

pytorch_setup.configure(heap="--plain-malloc" not in sys.argv)

import image_model
import language_model
import torch
import torch.nn.functional as F

VARIANTS = language_model.VARIANTS + tuple(f"image-{variant}" for variant in image_model.VARIANTS)


def steps_on_text(options):
    """A function that takes step k."""
    settings = language_model.Settings(variant=options.variant)
    corpus = language_model.Corpus(options.data / "wikitext-2")
    rows = language_model.streams(corpus.train, settings.batch)
    print("loaded", flush=True)
    model = language_model.LanguageModel(settings, len(corpus.types))
    language_model.initialise(model, settings.seed)
    if settings.variant != "dot":
        inputs = language_model.batch(rows, settings.length, 0)[0]
        language_model.initialise_open_gate(model, inputs, settings.seed)
    optimizer = language_model.make_optimizer(model, settings)
    loss_function = torch.compile(language_model.mean_loss) if options.compile else language_model.mean_loss

    def step(k):
        loss = loss_function(model, *language_model.batch(rows, settings.length, k))
        language_model.train_step(model, optimizer, settings, k, loss)

    return step


def steps_on_images(options):
    settings = image_model.Settings(variant=options.variant.removeprefix("image-"))
    pixels, labels = torch.randn(128, 32, 32, 3), torch.randint(5, (128,))
    print("loaded", flush=True)
    if settings.variant == "resnet":
        model = image_model.ResNet(3, 5)
    else:
        model = image_model.VisionTransformer(settings, 32, 32, 3, 5)
    optimizer = image_model.make_optimizer(model, settings)
    forward = torch.compile(model) if options.compile else model
    return lambda k: language_model.train_step(model, optimizer, settings, k, F.cross_entropy(forward(pixels), labels))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--variant", choices=VARIANTS, default="dot")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compile model and loss (needs a C++ compiler)")
    parser.add_argument("--plain-malloc", action="store_true", help="memory comes and goes as malloc likes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    take = steps_on_images(options) if options.variant.startswith("image-") else steps_on_text(options)

    def step(k):
        begin = time.perf_counter()
        take(k)
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
