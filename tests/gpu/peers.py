"""tapir and PyTorch on one device, in turn, in one run: a training step of GPT-2's shape, and Neural Attention.

    python peers.py --tapir BUILD/tests/tapir_gpu_worker --lines FILE [--device cuda] [--small]

Prints Markdown tables and writes a JSON object for each line of them into FILE. PyTorch runs eagerly and with torch.compile; in
the training step it has autocast to bfloat16, its fused attention and its fused AdamW. Its Neural Attention is the broadcast form:
a hidden layer for every pair. What fails is named, and the others go on. The model: 12 layers, width 768, 12 heads, context 1024, 50257 tokens, batch 8; no biases in attention, and a head
of its own, on both sides.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

try:
    import torch
except ImportError:
    print("PyTorch is not here")
    sys.exit(77)
from torch import nn
from torch.nn import functional as F

PAIRS = 7


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        h = self.norm1(x)
        q, k, v = (f(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(o.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class LanguageModel(nn.Module):
    def __init__(self, context, layers, width, heads, vocabulary):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens, targets):
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        return F.cross_entropy(self.head(self.norm(self.blocks(x))).flatten(0, 1).float(), targets.flatten())


def training_step(device, batch, context, layers, width, heads, vocabulary):
    model = LanguageModel(context, layers, width, heads, vocabulary).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def step(run):
        tokens, targets = (torch.randint(vocabulary, (batch, context), device=device) for _ in range(2))
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            loss = run(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return both(step, model)


def neural_attention(device, batch, heads, length, hidden, width):
    def uniform(*shape):
        return torch.rand(shape, device=device, requires_grad=True)

    a, c, v, w = (uniform(*shape) for shape in ((batch, heads, length, hidden),) * 2 + ((batch, heads, length, width), (hidden,)))
    allowed = torch.ones(length, length, dtype=torch.bool, device=device).tril()

    def attention(a, c, v, w):
        scores = torch.relu(a.unsqueeze(3) + c.unsqueeze(2)) @ w
        return (scores.masked_fill(~allowed, float("-inf")).softmax(-1) @ v).sum()

    def step(run):
        loss = run(a, c, v, w)
        torch.autograd.grad(loss, (a, c, v, w))
        return loss

    return both(step, attention)


def both(step, function):
    """The same work eagerly and compiled."""
    compiled = torch.compile(function)
    return {"PyTorch": lambda: step(function), "PyTorch, compiled": lambda: step(compiled)}


def measured(device, step):
    """Milliseconds, and the bytes needed at most beyond what stays (0 where PyTorch does not count them)."""
    before = 0
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    begin = time.perf_counter()
    step().item()
    milliseconds = 1e3 * (time.perf_counter() - begin)
    return milliseconds, torch.cuda.max_memory_allocated() - before if device == "cuda" else 0


class Worker:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            sys.exit(f"{command[0]} did not start")

    def measured(self):
        self.process.stdin.write("next\n")
        self.process.stdin.flush()
        milliseconds, peak = self.process.stdout.readline().split()
        return float(milliseconds), int(peak)

    def finish(self):
        self.process.communicate()


def compare(options, work, sizes, peers):
    """Median milliseconds and bytes of tapir and of each peer, and the median ratio tapir / peer, pair by pair."""
    worker = Worker([options.tapir, options.device, work, *map(str, sizes)])
    for name, step in list(peers.items()):
        try:
            for _ in range(2):
                step().item()
        except Exception as error:  # a compiler that is missing, memory
            print(f"{name} failed: {str(error).splitlines()[0]}\n")
            del peers[name]
    rounds = [[worker.measured(), *(measured(options.device, step) for step in peers.values())] for _ in range(PAIRS)]
    worker.finish()
    rows = {}
    for i, name in enumerate(("tapir", *peers)):
        rows[name] = {
            "milliseconds": statistics.median(r[i][0] for r in rounds),
            "bytes": statistics.median(r[i][1] for r in rounds),
            "tapir_time_ratio": statistics.median(r[0][0] / r[i][0] for r in rounds),
        }
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tapir", required=True)
    parser.add_argument("--lines", type=pathlib.Path, required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="small shapes, to try this script")
    options = parser.parse_args()
    torch.manual_seed(1)
    lines = options.lines.open("w", buffering=1)

    sizes = (8, 8, 1024, 32, 64) if not options.small else (1, 2, 64, 8, 16)
    rows = compare(options, "neural", sizes, neural_attention(options.device, *sizes))
    print("Neural Attention, causal, with gradients, f32: batch {}, {} heads, {} tokens, {} hidden units, width {}.\n".format(*sizes))
    print("| | ms | MB at the peak | time of tapir |\n|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row['milliseconds']:.2f} | {row['bytes'] / 1e6:.1f} | {row['tapir_time_ratio']:.3f} |")
        print(json.dumps({"work": "neural attention", "sizes": sizes, "of": name, **row}), file=lines)

    sizes = (8, 1024, 12, 768, 12, 50257) if not options.small else (2, 32, 2, 64, 4, 100)
    rows = compare(options, "step", sizes, training_step(options.device, *sizes))
    print("\nA training step, products in bf16: batch {} of {} tokens, {} layers, width {}, {} heads, {} tokens.\n".format(*sizes))
    print("| | ms | tokens/s | GB at the peak | time of tapir |\n|---|---|---|---|---|")
    for name, row in rows.items():
        row["tokens_per_second"] = 1e3 * sizes[0] * sizes[1] / row["milliseconds"]
        print(f"| {name} | {row['milliseconds']:.1f} | {row['tokens_per_second']:.0f} | {row['bytes'] / 1e9:.2f} | "
              f"{row['tapir_time_ratio']:.3f} |")
        print(json.dumps({"work": "training step", "sizes": sizes, "of": name, **row}), file=lines)


if __name__ == "__main__":
    main()
