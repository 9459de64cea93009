"""Golden values of images: CIFAR as a separate reader finds it, files decoded by Pillow, sizes changed by PyTorch, and
augmented batches computed in float64 from random numbers of a Philox of its own.

    python images.py [FOLDER]        writes images.json and images/ beside this file; FOLDER has the data sets (~/.cache/tapir)
"""

import colorsys
import hashlib
import json
import math
import pathlib
import struct
import sys
import zlib

import numpy
import PIL.Image
import torch

HERE = pathlib.Path(__file__).parent
WORD = 0xFFFFFFFF


# --- CIFAR ---


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


# --- files ---


def picture(height, width):
    """Smooth colours with an edge, so that the losses of JPEG are small."""
    y, x = numpy.mgrid[0:height, 0:width]
    red = 255 * x / width
    green = 255 * y / height
    blue = 128 + 100 * numpy.sin(x / 5 + y / 7)
    pixels = numpy.stack([red, green, blue], axis=2)
    pixels[y > height // 2] = 255 - pixels[y > height // 2]
    return PIL.Image.fromarray(pixels.astype(numpy.uint8))


def files():
    folder = HERE / "images"
    folder.mkdir(exist_ok=True)
    rgb = picture(20, 27)
    grey = rgb.convert("L")
    transparent = rgb.convert("RGBA")
    transparent.putalpha(grey)
    cases = {
        "rgb.png": (rgb, {}),
        "grey.png": (grey, {}),
        "palette.png": (rgb.quantize(16), {}),
        "transparent.png": (transparent, {}),
        "bits.png": (rgb.convert("1"), {}),
        "rgb.jpg": (rgb, {"quality": 90, "subsampling": 0}),
        "halved.jpg": (rgb, {"quality": 90, "subsampling": 2}),
        "progressive.jpg": (rgb, {"quality": 90, "progressive": True}),
        "grey.jpg": (grey, {"quality": 90}),
    }
    decoded = {}
    for name, (image, options) in cases.items():
        image.save(folder / name, **options)
        pixels = numpy.asarray(PIL.Image.open(folder / name).convert("RGB"))
        decoded[name] = {"shape": list(pixels.shape), "pixels": pixels.flatten().tolist()}
    deep = PIL.Image.fromarray((numpy.arange(20 * 27, dtype=numpy.uint16).reshape(20, 27) * 100))
    deep.save(folder / "sixteen.png")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    (folder / "bomb.png").write_bytes(bomb())
    return decoded


def bomb():
    """A PNG of one pixel whose 40 million bytes of data are 40 kB."""
    sizes = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", sizes), (b"IDAT", zlib.compress(bytes(40_000_000), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)


# --- sizes ---


def synthetic(count, height, width):
    """Bytes that any program can make: the top 8 of the 32 bits of n · 2654435761, n from 1."""
    numbers = numpy.arange(1, count * height * width * 3 + 1, dtype=numpy.uint64)
    return ((numbers * 2654435761 & WORD) >> 24).astype(numpy.uint8).reshape(count, height, width, 3)


def resize(image, height, width):
    planes = torch.tensor(image, dtype=torch.float64).permute(2, 0, 1)[None]
    made = torch.nn.functional.interpolate(planes, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return made[0].permute(1, 2, 0).numpy()


def sizes():
    cases = []
    image = synthetic(1, 11, 14)[0].astype(numpy.float64)
    for box in ((0, 0, 11, 14), (2, 3, 7, 5), (4, 0, 1, 14)):
        top, left, height, width = box
        part = image[top : top + height, left : left + width]
        for size in ((11, 14), (5, 6), (3, 20), (22, 28), (1, 1)):
            cases.append({"box": box, "size": size, "values": numpy.round(resize(part, *size), 5).flatten().tolist()})
    return cases


# --- random numbers (Salmon et al. 2011), and what is drawn from them ---


def philox(counter, key):
    counter, key = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b & WORD, (a >> 32) ^ counter[3] ^ key[1], a & WORD]
        key = [(key[0] + 0x9E3779B9) & WORD, (key[1] + 0xBB67AE85) & WORD]
    return counter


def fnv(name):
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 & WORD
    return value


def block(seed, epoch, site, index):
    return philox((index & WORD, index >> 32, fnv(site), epoch), (seed & WORD, seed >> 32))


class Draws:
    def __init__(self, seed, epoch, sample):
        self.arguments, self.first, self.used = (seed, epoch, "augmentation"), sample << 32, 0

    def bits(self):
        value = block(*self.arguments, self.first + self.used // 4)[self.used % 4]
        self.used += 1
        return value

    def below(self, n):
        while True:
            product = self.bits() * n
            if product & WORD >= 2**32 % n:
                return product >> 32

    def uniform(self, low=0.0, high=1.0):
        return low + (high - low) * ((self.bits() >> 9) + 0.5) / 2**23


def order(count, seed, epoch):
    images = list(range(count))
    for last in range(count - 1, 0, -1):
        high, low = block(seed, epoch, "images", last)[:2]
        chosen = (high << 32 | low) % (last + 1)
        images[last], images[chosen] = images[chosen], images[last]
    return images


def beta(alpha, draws):
    while True:
        x, y = draws.uniform() ** (1 / alpha), draws.uniform() ** (1 / alpha)
        if x + y <= 1:
            return x / (x + y)


# --- augmentations, as torchvision defines them ---


def crop_with_padding(image, padding, draws):
    padded = numpy.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    top, left = draws.below(2 * padding + 1), draws.below(2 * padding + 1)
    return padded[top : top + image.shape[0], left : left + image.shape[1]]


def resized_crop(image, smallest, size, draws):
    rows, columns = image.shape[:2]
    for _ in range(10):
        area = rows * columns * draws.uniform(smallest, 1)
        ratio = math.exp(draws.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= columns and 0 < height <= rows:
            top, left = draws.below(rows - height + 1), draws.below(columns - width + 1)
            break
    else:
        width, height = columns, rows
        if columns / rows < 3 / 4:
            height = round(columns / (3 / 4))
        elif columns / rows > 4 / 3:
            width = round(rows * (4 / 3))
        top, left = (rows - height) // 2, (columns - width) // 2
    return resize(image[top : top + height, left : left + width], *size)


def rotate(image, degrees):
    """torchvision's rotate: an inverse affine map about the middle, grid_sample with the nearest pixel and zeros outside."""
    angle, (rows, columns) = -math.radians(degrees), image.shape[:2]
    y, x = torch.meshgrid(torch.arange(rows).double() + 0.5 - rows / 2, torch.arange(columns).double() + 0.5 - columns / 2,
                          indexing="ij")
    from_x = (math.cos(angle) * x + math.sin(angle) * y) / (0.5 * columns)
    from_y = (-math.sin(angle) * x + math.cos(angle) * y) / (0.5 * rows)
    planes = torch.tensor(image.copy()).permute(2, 0, 1)[None]
    grid = torch.stack([from_x, from_y], dim=2)[None]
    made = torch.nn.functional.grid_sample(planes, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return made[0].permute(1, 2, 0).numpy()


def grey(image):
    return (image @ numpy.array([0.2989, 0.587, 0.114]))[:, :, None]


def blend(image, other, factor):
    return numpy.clip(factor * image + (1 - factor) * other, 0, 1)


def turn_hues(image, turn):
    made = numpy.empty_like(image)
    for place in numpy.ndindex(*image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[place])
        made[place] = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
    return made


def jitter(image, strengths, draws):
    chosen = [0, 1, 2, 3]
    for last in (3, 2, 1):
        other = draws.below(last + 1)
        chosen[last], chosen[other] = chosen[other], chosen[last]
    factors = [draws.uniform(max(0, 1 - s), 1 + s) if s else None for s in strengths[:3]]
    factors.append(draws.uniform(-strengths[3], strengths[3]) if strengths[3] else None)
    for which in chosen:
        factor = factors[which]
        if factor is None:
            continue
        if which == 0:
            image = blend(image, 0, factor)
        elif which == 1:
            image = blend(image, grey(image).mean(), factor)
        elif which == 2:
            image = blend(image, grey(image), factor)
        else:
            image = turn_hues(image, factor)
    return image


def erased_box(size, draws):
    for _ in range(10):
        area = size[0] * size[1] * draws.uniform(0.02, 0.33)
        ratio = math.exp(draws.uniform(math.log(1 / 3.3), math.log(1 / 0.3)))   # of width to height
        height, width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < height < size[0] and 0 < width < size[1]:
            top, left = draws.below(size[0] - height + 1), draws.below(size[1] - width + 1)
            return slice(top, top + height), slice(left, left + width)
    return None


def cut_box(size, share, draws):
    x, y = draws.below(size[1]), draws.below(size[0])
    across, down = int(0.5 * math.sqrt(1 - share) * size[1]), int(0.5 * math.sqrt(1 - share) * size[0])
    return slice(max(y - down, 0), min(y + down, size[0])), slice(max(x - across, 0), min(x + across, size[1]))


def batch(pixels, options, statistics, seed, rows, size, k):
    count, height, width = pixels.shape[:3]
    out = (size, size) if size else (height, width)
    epoch, first = k // (count // rows), k % (count // rows) * rows
    chosen = order(count, seed, epoch)[first : first + rows]
    images, mixes = [], []
    for sample in chosen:
        draws = Draws(seed, epoch, sample)
        image = pixels[sample] / 255
        if options.get("crop_padding"):
            image = crop_with_padding(image, options["crop_padding"], draws)
        if "smallest_crop" in options:
            image = resized_crop(image, options["smallest_crop"], out, draws)
        elif image.shape[:2] != out:
            image = resize(image, *out)
        if "flip" in options and draws.uniform() < options["flip"]:
            image = image[:, ::-1]
        if "rotation" in options:
            image = rotate(image, draws.uniform(-options["rotation"], options["rotation"]))
        strengths = [options.get(name, 0) for name in ("brightness", "contrast", "saturation", "hue")]
        if any(strengths):
            image = jitter(image, strengths, draws)
        image = (image - statistics[0]) / statistics[1]
        if "erasing" in options and draws.uniform() < options["erasing"]:
            box = erased_box(out, draws)
            if box:
                image[box] = 0
        images.append(image)
        mixup, cutmix = options.get("mixup"), options.get("cutmix")
        if mixup and (not cutmix or draws.uniform() < 0.5):
            mixes.append(("mixup", beta(mixup, draws)))
        elif cutmix:
            mixes.append(("cutmix", cut_box(out, beta(cutmix, draws), draws)))
    result = {"chosen": chosen, "pixels": images, "others": [], "shares": []}
    if mixes:
        result["pixels"] = []
        for row, (kind, value) in enumerate(mixes):
            own, other = images[row].copy(), images[row - 1]
            if kind == "mixup":
                own, share = value * own + (1 - value) * other, value
            else:
                own[value] = other[value]
                share = 1 - own[value].shape[0] * own[value].shape[1] / (out[0] * out[1])
            result["pixels"].append(own)
            result["others"].append(chosen[row - 1])
            result["shares"].append(share)
    result["pixels"] = numpy.round(numpy.stack(result["pixels"]), 7).flatten().tolist()
    return result


def augmentations():
    pixels = synthetic(9, 12, 10)
    pixels[3] = pixels[3][:, :, :1]   # an image without colours
    statistics = ([0.4, 0.5, 0.6], [0.25, 0.2, 0.3])
    everything = {"flip": 0.5, "rotation": 15, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1,
                  "erasing": 0.5, "mixup": 0.2, "cutmix": 1}
    cases = [({}, 0), ({}, 7), ({"crop_padding": 3}, 0), ({"crop_padding": 2, "flip": 0.5}, 16), ({"flip": 0.5}, 0),
             ({"smallest_crop": 0.08}, 0), ({"smallest_crop": 0.5}, 8), ({"smallest_crop": 0.98}, 0), ({"rotation": 30}, 0),
             ({"rotation": 180}, 9), ({"brightness": 0.8}, 0), ({"contrast": 1.5}, 0), ({"saturation": 2}, 0),
             ({"hue": 0.5}, 0),
             ({"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.2}, 0), ({"erasing": 1}, 0),
             ({"mixup": 0.2}, 0), ({"cutmix": 1}, 0), ({"cutmix": 0.3, "mixup": 1}, 0),
             (everything | {"crop_padding": 4}, 0), (everything | {"smallest_crop": 0.3}, 13)]
    made = []
    for number, (options, size) in enumerate(cases):
        for k in (0, 3):   # of two batches an epoch: the first epoch and the second
            seed = 2**40 + number
            result = batch(pixels, options, statistics, seed, 4, size, k)
            made.append({"options": options, "size": size, "seed": seed, "k": k, **result})
    return made


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path.home() / ".cache" / "tapir"
    values = {"sets": data_sets(root), "files": files(), "sizes": sizes(), "augmentations": augmentations()}
    (HERE / "images.json").write_text(json.dumps(values, separators=(",", ":")) + "\n")
