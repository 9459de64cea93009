"""What the cases of mechanisms.json are made of: sizes, numbers, masked softmax, gradients."""

import torch

BATCH, HEADS, WIDTH = 2, 2, 4


def attend(scores, v, allowed):
    weights = torch.where(allowed, torch.exp(scores - scores.amax(-1, keepdim=True)), 0.0)
    return torch.einsum("bhij,bhjd->bhid", weights / weights.sum(-1, keepdim=True), v)


def tensor(values):
    return {"shape": list(values.shape), "data": values.detach().flatten().tolist()}


def draw(generator, *shape, scale=1.0):
    """Normal, rounded to 1/128: short in the file, and exact in it."""
    return torch.round(torch.randn(*shape, generator=generator, dtype=torch.float64) * scale * 128) / 128


def record(name, fields, inputs, parameters, upstream, forward):
    leaves = {key: value.requires_grad_() for key, value in (inputs | parameters).items()}
    output = forward(leaves)
    gradients = torch.autograd.grad((output * upstream).sum(), list(leaves.values()), materialize_grads=True)
    return {
        "name": name,
        **fields,
        "inputs": {key: tensor(value) for key, value in inputs.items()},
        "parameters": {key: tensor(value) for key, value in parameters.items()},
        "upstream": tensor(upstream),
        "output": tensor(output),
        "gradients": {key: tensor(value) for key, value in zip(leaves, gradients)},
    }
