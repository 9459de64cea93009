"""Golden values of layers of images in float64: three steps of a small network in PyTorch, with running statistics.

    python image_layers.py        writes image_layers.json beside this file

The network is Conv2d, BatchNorm2d, ReLU, a depthwise Conv2d with stride, BatchNorm2d. A step is one of gradient descent on
sum(output * upstream). Tensors are as tapir has them: images (B,H,W,C), kernels (kh,kw,C/groups,O).
"""

import json
import pathlib

import torch
from torch import nn

torch.set_default_dtype(torch.float64)
torch.manual_seed(2015)

STEPS, RATE = 3, 0.01


def tensor(values):
    return {"shape": list(values.shape), "data": values.detach().flatten().tolist()}


def of_tapir(values):
    return tensor(values.permute(2, 3, 1, 0) if values.dim() == 4 else values)


def main():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4),
        nn.BatchNorm2d(4, eps=1e-3, momentum=0.3),
    )
    golden = {
        "torch": torch.__version__,
        "about": "written by image_layers.py, which says what the fields mean",
        "rate": RATE,
        "parameters": {name: of_tapir(value) for name, value in network.named_parameters()},
        "steps": [],
    }
    for _ in range(STEPS):
        x, upstream = torch.randn(2, 5, 6, 3), torch.randn(2, 3, 3, 4)
        network.train()
        y = network(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        network.zero_grad()
        (y * upstream).sum().backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= RATE * parameter.grad
        network.eval()
        evaluated = network(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        golden["steps"].append({
            "x": tensor(x),
            "upstream": tensor(upstream),
            "y": tensor(y),
            "evaluated": tensor(evaluated),
            "statistics": {name: tensor(value) for name, value in network.named_buffers() if "running" in name},
            "parameters": {name: of_tapir(value) for name, value in network.named_parameters()},
        })
    text = json.dumps(golden).replace('"data"', '\n "data"')
    pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
