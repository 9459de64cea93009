"""Gives PyTorch its fastest CPU kernels. Call configure() before the first `import torch`.

Two things hold back PyTorch's wheels outside Intel CPUs and on large tensors:
* the MKL inside asks whether the CPU is Intel's and otherwise leaves AVX-512 unused: a library with two functions,
  loaded first, answers yes (sgemm of 1024 x 1024 x 1024 on one Zen 5 core: from 93 to 212 GFLOP/s);
* malloc maps every block above 32 MiB anew, so each logits tensor is paid for in page faults: blocks come from the
  heap instead and the heap is never trimmed (2048 x 256 x 33278: from 120 to 214 GFLOP/s).
"""

import ctypes
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
INTEL = "int mkl_serv_intel_cpu(void) { return 1; }\nint mkl_serv_intel_cpu_true(void) { return 1; }\n"


def configure(heap=True):
    """`heap`: all blocks come from the heap."""
    assert "torch" not in sys.modules, "configure() comes before `import torch`"
    with tempfile.TemporaryDirectory() as folder:
        library = pathlib.Path(folder) / "intel.so"
        command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library]
        subprocess.run(command, input=INTEL, text=True, check=True)
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    if not heap:
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def matrix_gflops(dtype, size=1024, repeats=20):
    """Best rate of a size x size x size product, in 1e9 operations a second."""
    import torch

    a, b = torch.randn(2, size, size, dtype=dtype)
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best / 1e9


def versions():
    import safetensors
    import torch

    mkl = next(line for line in torch.__config__.show().splitlines() if "Math Kernel Library" in line)
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "safetensors": safetensors.__version__,
        "mkl": mkl.split("Library ")[1].split(" for ")[0],
    }


def cpu():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return f"{fields['model name']} (family {fields['cpu family']}, model {fields['model']})"
