"""Reference trainer: vision transformers and residual networks on batches of images, written with PyTorch alone.

    python image_model.py --data FOLDER --variant dot --dtype f64 --steps 20 OUT

FOLDER has what golden_export writes of an experiment of images: initial.safetensors, the weights, and batches.safetensors,
the normalised pixels (steps, B, H, W, C) and labels (steps, B) of each step, and images.json, whose digest of the training part
is kept. Writes OUT/reference.json: the losses, of f64 how far f32 is from it at each step, of f32 the losses in f64 if asked.

Models: the weights' names are those of nn/models/vision_transformer.h and resnet.h, the weights of convolutions permuted
as autograd/ops/convolution.h says. Patches come from a convolution, so that a wrong order of pixels in a patch shows.
Variants: `dot`           vision transformer, scaled dot product in all blocks,
          `neural-paper`  the score network of the paper, one hidden layer of 16 units, in all blocks,
          `resnet`        residual network of 20 layers with batch norm.
"""

import argparse
import json
import pathlib
from dataclasses import asdict, dataclass

import pytorch_setup

if __name__ == "__main__":
    pytorch_setup.configure()

import torch
import torch.nn.functional as F
from language_model import Mlp, ScoreNetwork, layer_norm, make_optimizer, update
from torch import nn

VARIANTS = ("dot", "neural-paper", "resnet")
WRONG = ("decay-biases", "flipped-patches", "norm-epsilon")  # mistakes on purpose, to show that the comparison sees them


@dataclass
class Settings:
    variant: str = "dot"
    patch: int = 4
    layers: int = 6
    width: int = 256
    heads: int = 8
    pool: str = "mean"
    steps: int = 20
    warmup: int = 5
    learning_rate: float = 1e-3
    final_rate: float = 0.1  # as a share of learning_rate
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    bias: bool = True
    label_smoothing: float = 0.0
    reduced_width: int = 2  # d' of the score network
    hidden_width: int = 16  # m
    wrong: str | None = None


class Attention(nn.Module):
    def __init__(self, settings):
        super().__init__()
        width, self.heads = settings.width, settings.heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.score = None
        if settings.variant == "neural-paper":
            self.score = ScoreNetwork("paper", width // self.heads, settings.reduced_width, settings.hidden_width)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        mixed = torch.softmax(self.score(q, k), -1) @ v if self.score else F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.norm1, self.attention = layer_norm(settings), Attention(settings)
        self.norm2, self.mlp = layer_norm(settings), Mlp(settings.width, True, "none")

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(self, settings, height, width, channels, classes):
        super().__init__()
        self.patch, self.channels, self.wrong = settings.patch, channels, settings.wrong
        tokens = height // settings.patch * (width // settings.patch) + (settings.pool == "class")
        self.patches = nn.Linear(settings.patch**2 * channels, settings.width)
        self.class_token = nn.Parameter(torch.zeros(settings.width)) if settings.pool == "class" else None
        self.positions = nn.Parameter(torch.zeros(tokens, settings.width))
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = layer_norm(settings)
        self.head = nn.Linear(settings.width, classes)

    def forward(self, pixels):
        """(B, H, W, channels) -> logits (B, classes)"""
        p = self.patch
        kernel = self.patches.weight.unflatten(1, (p, p, self.channels)).permute(0, 3, 1, 2)
        if self.wrong == "flipped-patches":
            kernel = kernel.transpose(2, 3)
        x = F.conv2d(pixels.permute(0, 3, 1, 2), kernel, self.patches.bias, stride=p).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(len(x), 1, -1), x], 1)
        x = x + self.positions
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x.mean(1) if self.class_token is None else x[:, 0])


class ResidualBlock(nn.Module):
    def __init__(self, channels, out, stride, epsilon):
        super().__init__()
        self.stride, self.more = stride, out - channels
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(out, epsilon), nn.BatchNorm2d(out, epsilon)

    def forward(self, x):
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return F.relu(inner + F.pad(shortcut, (0, 0, 0, 0, self.more // 2, self.more - self.more // 2)))


class ResNet(nn.Module):
    def __init__(self, channels, classes, width=16, blocks=3, epsilon=1e-5):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width, epsilon)
        self.stages, inputs = nn.ModuleList(), width
        for stage in range(3):
            row = nn.ModuleList()
            for n in range(blocks):
                row.append(ResidualBlock(inputs, width << stage, 2 if stage and not n else 1, epsilon))
                inputs = width << stage
            self.stages.append(row)
        self.head = nn.Linear(inputs, classes)

    def forward(self, pixels):
        """(B, H, W, channels) -> logits (B, classes)"""
        x = F.relu(self.stem_norm(self.stem(pixels.permute(0, 3, 1, 2))))
        for block in (block for stage in self.stages for block in stage):
            x = block(x)
        return self.head(x.mean((2, 3)))


def make_model(settings, pixels, initial):
    classes = len(initial["head.bias"])
    if settings.variant != "resnet":
        return VisionTransformer(settings, *pixels.shape[2:], classes)
    return ResNet(pixels.shape[-1], classes, epsilon=1e-3 if settings.wrong == "norm-epsilon" else 1e-5)


def from_tapir(initial):
    """PyTorch's names and shapes of what golden_export wrote."""
    renamed = {}
    for name, value in initial.items():
        name = name.replace(".running_variance", ".running_var")
        renamed[name] = value.permute(3, 2, 0, 1).contiguous() if value.dim() == 4 else value
    return renamed


def channel_by_channel(pixels):
    """(…, H, W, channels) as they were, in memory one channel after the other: for this layout PyTorch's batch norm sums float32
    in float64. For its channels_last, which a permuted view would be, it adds float32 one by one, and is off by 400 roundings."""
    return pixels.movedim(-1, -3).contiguous().movedim(-3, -1)


def single_differences(single, model, loss, mean_loss):
    """Relative differences of float32 from float64, of a step's loss and of its gradient: `single` with the weights of `model`,
    whose gradients are there."""
    with torch.no_grad():
        for own, weight in zip(single.parameters(), model.parameters()):
            own.copy_(weight)
    own_loss = mean_loss(single)
    own = torch.autograd.grad(own_loss, list(single.parameters()))
    truth = [p.grad for p in model.parameters()]
    norm = torch.linalg.vector_norm
    difference = norm(torch.stack([norm(a.double() - b) for a, b in zip(own, truth)]))
    return abs(own_loss.item() / loss.item() - 1), (difference / norm(torch.stack([norm(b) for b in truth]))).item()


def train(fresh, settings, pixels, labels, dtype):
    """`fresh(dtype)`: the model with its initial weights."""
    model, wide = fresh(dtype), dtype == torch.float64
    single = fresh(torch.float32) if wide else None
    optimizer, result, differences = make_optimizer(model, settings), {"losses": [], "gradient_norms": []}, []
    for k in range(settings.steps):

        def mean_loss(some):
            logits = some(pixels[k].to(next(some.parameters()).dtype))
            return F.cross_entropy(logits, labels[k], label_smoothing=settings.label_smoothing)

        loss = mean_loss(model)
        loss.backward()
        if wide:
            differences.append(single_differences(single, model, loss, mean_loss))
        result["losses"].append(loss.item())
        result["gradient_norms"].append(update(model, optimizer, settings, k))
    if wide:
        losses, gradients = zip(*differences)
        result["f32_differences"] = {"loss": losses, "gradient": gradients}
    return result


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--variant", choices=VARIANTS, default="dot")
    parser.add_argument("--pool", choices=("mean", "class"), default="mean")
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--dtype", choices=("f32", "f64"), default="f32")
    parser.add_argument("--beside-f64", action="store_true", help="train in f64 as well, from the same weights")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--wrong", choices=WRONG)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main():
    from safetensors.torch import load_file

    options = arguments()
    torch.set_num_threads(options.threads)
    settings = Settings(
        variant=options.variant,
        pool=options.pool,
        label_smoothing=options.label_smoothing,
        steps=options.steps,
        warmup=options.warmup,
        wrong=options.wrong,
    )
    batches = load_file(options.data / "batches.safetensors")
    pixels, labels = channel_by_channel(batches["pixels"]), batches["labels"].long()
    initial = load_file(options.data / "initial.safetensors")

    def fresh(dtype):
        model = make_model(settings, pixels, initial).to(dtype)
        missing = model.load_state_dict(from_tapir(initial), strict=False).missing_keys
        assert all(name.endswith(("num_batches_tracked", "running_mean", "running_var")) for name in missing), missing
        return model

    dtype = {"f32": torch.float32, "f64": torch.float64}[options.dtype]
    reference = {
        "versions": pytorch_setup.versions(),
        "cpu": pytorch_setup.cpu(),
        "dtype": options.dtype,
        "threads": options.threads,
        "settings": asdict(settings),
        "train_sha256": json.loads((options.data / "images.json").read_text())["train_sha256"],
        **train(fresh, settings, pixels, labels, dtype),
    }
    if options.beside_f64:
        reference["losses_f64"] = train(fresh, settings, pixels, labels, torch.float64)["losses"]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "reference.json").write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    main()
