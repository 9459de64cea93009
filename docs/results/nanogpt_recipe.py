"""nanoGPT's recipe for Tiny Shakespeare on a CPU, from its description, with PyTorch alone: what its own initial weights, batches
and weight decay give on the whole validation part, and how far its estimate from 20 batches spreads.

    python docs/results/nanogpt_recipe.py DATA/tinyshakespeare/input.txt SEED
"""

import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

LAYERS, HEADS, WIDTH, CONTEXT, BATCH, STEPS, WARMUP = 4, 4, 128, 64, 12, 2000, 100


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        heads = [y.unflatten(-1, (HEADS, -1)).transpose(1, 2) for y in self.qkv(self.norm1(x)).split(WIDTH, -1)]
        x = x + self.out(F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Model(nn.Module):
    def __init__(self, types):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(types, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                before_sum = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, 0, 0.02 / math.sqrt(2 * LAYERS) if before_sum else 0.02)

    def loss(self, ids, targets):
        x = self.tokens(ids) + self.positions.weight
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(F.linear(self.norm(x), self.tokens.weight).flatten(0, 1), targets.flatten())


def random_batch(ids):
    begins = torch.randint(len(ids) - CONTEXT, (BATCH,))
    windows = torch.stack([ids[begin : begin + CONTEXT + 1] for begin in begins])
    return windows[:, :-1], windows[:, 1:]


@torch.no_grad()
def estimate(model, ids):
    return sum(model.loss(*random_batch(ids)).item() for _ in range(20)) / 20


@torch.no_grad()
def whole(model, ids):
    """In windows side by side, each predicted from its own beginning on."""
    windows = (len(ids) - 1) // CONTEXT
    inputs, targets = (ids[shift : shift + windows * CONTEXT].view(windows, CONTEXT) for shift in (0, 1))
    pieces = zip(inputs.split(256), targets.split(256))
    return sum(model.loss(a, b).item() * len(a) for a, b in pieces) / windows


def main():
    text, seed = pathlib.Path(sys.argv[1]).read_text(), int(sys.argv[2])
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    types = sorted(set(text))
    ids = torch.tensor([types.index(character) for character in text])
    train, valid = ids[: len(ids) * 9 // 10], ids[len(ids) * 9 // 10 :]
    model = Model(len(types))
    groups = [
        {"params": [p for p in model.parameters() if p.dim() == 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99))
    for step in range(STEPS):
        progress = (step - WARMUP) / (STEPS - WARMUP)
        rate = 1e-3 * step / WARMUP if step < WARMUP else 1e-4 + 0.5 * 9e-4 * (1 + math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = model.loss(*random_batch(train))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    estimates = sorted(estimate(model, valid) for _ in range(100))
    print(f"seed {seed}: whole part {whole(model, valid):.4f}, estimates {estimates[0]:.3f} … {estimates[-1]:.3f}")


if __name__ == "__main__":
    main()
