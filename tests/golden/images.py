"""Golden values of images: CIFAR as a separate reader finds it.

    python images.py [FOLDER]        writes images.json beside this file; FOLDER has the data sets (~/.cache/tapir)
"""

import hashlib
import json
import pathlib
import sys

import numpy


def sha256(values):
    return hashlib.sha256(numpy.ascontiguousarray(values).tobytes()).hexdigest()


def cifar(folder, files, labels):
    """Each file's digest; of all its records the labels, fine ones last, and pixels with channels last."""
    part = {"files": {}}
    records = []
    for name in files:
        contents = (folder / name).read_bytes()
        part["files"][name] = hashlib.sha256(contents).hexdigest()
        records.append(numpy.frombuffer(contents, dtype=numpy.uint8).reshape(-1, labels + 3072))
    records = numpy.concatenate(records)
    pixels = records[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    part["labels"] = sha256(records[:, labels - 1].astype("<i4"))
    if labels == 2:
        part["coarse_labels"] = sha256(records[:, 0].astype("<i4"))
    part["pixels"] = sha256(pixels)
    part["mean"] = (pixels.mean(axis=(0, 1, 2), dtype=numpy.float64) / 255).tolist()
    part["deviation"] = (pixels.std(axis=(0, 1, 2), dtype=numpy.float64) / 255).tolist()
    return part


def data_sets(root):
    ten, hundred = root / "cifar-10-batches-bin", root / "cifar-100-binary"
    return {
        "cifar-10": {
            "train": cifar(ten, [f"data_batch_{k}.bin" for k in range(1, 6)], 1),
            "test": cifar(ten, ["test_batch.bin"], 1),
        },
        "cifar-100": {"train": cifar(hundred, ["train.bin"], 2), "test": cifar(hundred, ["test.bin"], 2)},
    }


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path.home() / ".cache" / "tapir"
    values = {"sets": data_sets(root)}
    path = pathlib.Path(__file__).with_name("images.json")
    path.write_text(json.dumps(values, indent=1) + "\n")
