"""Records a coefficient field and its pressure for tests/datasets/test_darcy.cc, by another reading of datasets/synthetic/darcy.h.

Fields of darcy.json, of each case: "part", "row", "points" n, "larger", "smaller"; "field", n rows of n characters, 1 for the larger
coefficient; "pressure", u at every fourth point both ways, of a direct solver.

Philox4x32-10 from its paper (Salmon et al. 2011), no code of this repository. Needs numpy and scipy.
"""

import json
import math
import pathlib

import numpy
import scipy.sparse
import scipy.sparse.linalg

from appliances import fnv, philox

MODES = 64


def normals(part, row):
    site, block = fnv("darcy " + part), 0
    while True:
        bits = [((one >> 9) + 0.5) / 2**23 for one in philox((block, 0, site, row), (0, 0))]
        for u, v in (bits[:2], bits[2:]):
            yield math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)
        block += 1


def field(part, row, n):
    draws = normals(part, row)
    xi = numpy.array([next(draws) for _ in range(MODES * MODES)]).reshape(MODES, MODES)
    k = numpy.arange(MODES)
    size = 1 / (math.pi**2 * (k[:, None] ** 2 + k[None, :] ** 2) + 9)
    size[0, 0] = 0
    waves = numpy.cos(math.pi * numpy.outer(k, numpy.linspace(0, 1, n)))
    waves[1:] *= math.sqrt(2)
    return waves.T @ (size * xi) @ waves


def pressure(a):
    n = len(a)
    matrix = scipy.sparse.lil_matrix((n * n, n * n))
    right = numpy.zeros(n * n)
    for i in range(n):
        for j in range(n):
            p = i * n + j
            if i in (0, n - 1) or j in (0, n - 1):
                matrix[p, p] = 1
                continue
            right[p] = 1
            for k, l in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                flow = (a[i, j] + a[k, l]) / 2 * (n - 1) ** 2
                matrix[p, p] += flow
                matrix[p, k * n + l] -= flow
    return scipy.sparse.linalg.spsolve(matrix.tocsc(), right).reshape(n, n)


def case(part, row, n, larger, smaller):
    positive = field(part, row, n) > 0
    u = pressure(numpy.where(positive, larger, smaller))
    return {"part": part, "row": row, "points": n, "larger": larger, "smaller": smaller,
            "field": ["".join("01"[one] for one in line) for line in positive.astype(int)],
            "pressure": u[::4, ::4].ravel().tolist()}


def main():
    golden = {"about": "written by darcy.py, which says what the fields mean",
              "cases": [case("train", 0, 29, 12, 3), case("test", 5, 41, 12, 4)]}
    pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
