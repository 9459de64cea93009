"""Records windows of power for tests/datasets/test_power_windows.cc, by another reading of datasets/synthetic/appliances.h.

Fields of appliances.json: "part", "seed", "index", "samples"; of each appliance "power" in kW and "edges", samples at which it
changes its state, with 0 first where it is on from the start. Without noise.

Philox4x32-10 from its paper (Salmon et al. 2011), no code of this repository. Run with any Python, no packages.
"""

import json
import pathlib

APPLIANCES = [  # least and most kW, on and off in samples
    ((0.08, 0.2), (50, 150), (60, 200)),
    ((0.3, 0.8), (10, 60), (20, 300)),
    ((0.8, 1.4), (5, 40), (100, 600)),
    ((0.8, 1.4), (60, 180), (150, 900)),
]
WORD = 2**32


def fnv(text):
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 % WORD
    return value


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b // WORD ^ c[1] ^ k[0], b % WORD, a // WORD ^ c[3] ^ k[1], a % WORD]
        k = [(k[0] + 0x9E3779B9) % WORD, (k[1] + 0xBB67AE85) % WORD]
    return c


def stream(part, seed, index, number):
    block, key = 0, (seed % WORD, seed // WORD)
    while True:
        yield from philox((block, number, fnv("appliances " + part), index), key)
        block += 1


def below(bits, n):  # Lemire 2019
    while True:
        product = next(bits) * n
        if product % WORD >= (WORD - n) % n:
            return product // WORD


def edges(bits, on, off, samples):
    t, state, found = -below(bits, on[1] + off[1]), False, []
    while t < samples:
        least, most = on if state else off
        end = t + least + below(bits, most - least + 1)
        if state and end > 0:
            found += [max(t, 0)] + ([end] if end < samples else [])
        t, state = end, not state
    return found


def window(part, seed, index, samples):
    recorded = []
    for number, (powers, on, off) in enumerate(APPLIANCES):
        bits = stream(part, seed, index, number)
        share = ((next(bits) >> 9) + 0.5) / 2**23
        recorded.append({"power": powers[0] + (powers[1] - powers[0]) * share, "edges": edges(bits, on, off, samples)})
    return {"part": part, "seed": seed, "index": index, "samples": samples, "appliances": recorded}


def main():
    windows = [window("train", 1, 0, 480), window("train", 1, 7, 480), window("train", 2**40 + 3, 7, 480),
               window("valid", 0, 0, 480), window("test", 0, 199, 2000)]
    golden = {"about": "written by appliances.py, which says what the fields mean", "windows": windows}
    pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
