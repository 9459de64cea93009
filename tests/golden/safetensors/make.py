"""Writes the files of this folder with the safetensors package; tests/nn/test_safetensors.cc knows their values.

    pip install safetensors==0.8.0 numpy torch && python make.py
"""
import os

import numpy
import safetensors.numpy
import safetensors.torch
import torch

folder = os.path.dirname(os.path.abspath(__file__))

safetensors.numpy.save_file(
    {
        "matrix": numpy.array([[1.5, -2.25, 3e-8], [numpy.inf, -0.0, 1 / 3]], dtype=numpy.float32),
        "pi": numpy.array(numpy.pi, dtype=numpy.float64),
        "ids": numpy.array([-(2**31), 0, 2**31 - 1], dtype=numpy.int32),
        "flags": numpy.array([[0, 1, 255]], dtype=numpy.uint8),
        "nothing": numpy.zeros((3, 0, 2), dtype=numpy.float32),
        "grüße/日本": numpy.array([42], dtype=numpy.float32),
    },
    os.path.join(folder, "numpy.safetensors"),
    metadata={"format": "np", "quote \"\\\n": "line\nbreak"},
)
safetensors.torch.save_file(
    {
        "weight": torch.arange(6, dtype=torch.float64).reshape(2, 3) / 7,
        "bias": torch.tensor([0.1, 0.2], dtype=torch.float32),
    },
    os.path.join(folder, "torch.safetensors"),
)
safetensors.torch.save_file(
    {"weight": torch.ones(2, dtype=torch.bfloat16)},
    os.path.join(folder, "bfloat16.safetensors"),
)
