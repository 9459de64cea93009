"""The NT grid: collects what came out, and judges differences to the dot product, paired by seed, by cell and over all cells.

    python3 nt_grid.py runs/nt > nt-grid.jsonl     # from the folders N…-tau… that `tapir compare` wrote
    python3 nt_grid.py nt-grid.jsonl               # the table as Markdown, then what it says

± are 95 % intervals, Student's. p is Student's, then corrected (Holm) for the cells of its mechanism, and for those of all.

Needs Python's standard library alone.
"""

import json
import math
import pathlib
import statistics
import sys

BASELINE = "dot_product"
SOLVED = 0.999


def student_p(values):
    """Two-sided p of Student's t test that the mean is 0."""
    mean, deviation, degrees = statistics.fmean(values), statistics.stdev(values), len(values) - 1
    if deviation == 0:
        return 1.0 if mean == 0 else 0.0
    theta = math.atan2(abs(mean) * math.sqrt(len(values)), deviation * math.sqrt(degrees))
    # P(|T| < t) as a finite sum (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4), tan θ = t/√degrees
    term, total = (math.cos(theta) if degrees % 2 else 1.0), 0.0
    for k in range(2 if degrees % 2 else 1, degrees, 2):
        total += term
        term *= math.cos(theta) ** 2 * k / (k + 1)
    inside = math.sin(theta) * total
    return 1 - (2 / math.pi * (theta + inside) if degrees % 2 else inside)


def half_width(values):
    """Of the 95 % interval: t s / √n, with t where P(|T| ≥ t) is 0.05, found by bisection of student_p."""
    deviation = statistics.stdev(values)
    if deviation == 0:
        return 0.0
    centred = [value - statistics.fmean(values) for value in values]
    low, high = 0.0, 100 * deviation
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student_p([value + middle for value in centred]) > 0.05 else (low, middle)
    return low


def sign_p(wins, losses):
    """Two-sided p of the sign test; ties say nothing."""
    n = wins + losses
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(max(wins, losses), n + 1)) / 2**n) if n else math.nan


def holm(p):
    """p-values corrected for their number (Holm 1979)."""
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = least
    return corrected


def collect(folder):
    for file in pathlib.Path(folder).glob("N*-tau*/compare.json"):
        n, tau = map(int, file.parent.name[1:].split("-tau"))
        for arm in json.loads(file.read_text())["groups"][0]["arms"]:
            accuracy = [run["result"] for run in sorted(arm["runs"], key=lambda run: run["seed"])]
            yield {"N": n, "tau": tau, "mechanism": arm["label"], "accuracy": accuracy}


def paired(arms, name):
    return [own - other for own, other in zip(arms[name], arms[BASELINE], strict=True)]


def table(cells, mechanisms):
    names = [BASELINE, *mechanisms]
    print("| N | τ | states N^τ | n |", " | ".join([*names, *(f"{name} − {BASELINE}" for name in mechanisms)]), "|")
    print("|" + "---|" * (4 + len(names) + len(mechanisms)))
    for (n, tau), arms in cells.items():
        row = [str(n), str(tau), f"{n ** tau:,}", str(2 * tau + 8)]
        for name in names:
            solved = sum(value > SOLVED for value in arms[name])
            row.append(f"{statistics.fmean(arms[name]):.3f} ± {half_width(arms[name]):.3f} ({solved})")
        for name in mechanisms:
            mean, half = statistics.fmean(paired(arms, name)), half_width(paired(arms, name))
            shown = f"{mean:+.3f} ± {half:.3f}".replace("-", "−")
            row.append(f"**{shown}**" if abs(mean) > half else shown)
        print("|", " | ".join(row), "|")
    print()


def main():
    if pathlib.Path(sys.argv[1]).is_dir():
        for row in sorted(collect(sys.argv[1]), key=lambda row: (row["tau"], row["N"])):
            print(json.dumps(row))
        return
    cells = {}
    with open(sys.argv[1]) as lines:
        for row in map(json.loads, lines):
            cells.setdefault((row["N"], row["tau"]), {})[row["mechanism"]] = row["accuracy"]
    mechanisms = [name for name in next(iter(cells.values())) if name != BASELINE]
    table(cells, mechanisms)

    print(f"{'mechanism':<12}{'N':>4}{'tau':>5}{'difference':>12}{'p':>9}{'of its':>9}{'of all':>9}")
    differences = {name: [paired(arms, name) for arms in cells.values()] for name in mechanisms}
    p = {name: [student_p(values) for values in differences[name]] for name in mechanisms}
    of_all = iter(holm([value for name in mechanisms for value in p[name]]))
    for name in mechanisms:
        for (n, tau), values, alone, of_its in zip(cells, differences[name], p[name], holm(p[name])):
            print(f"{name:<12}{n:>4}{tau:>5}{statistics.fmean(values):>+12.3f}{alone:>9.4f}{of_its:>9.3f}{next(of_all):>9.3f}")

    print()
    for name in mechanisms:
        pairs = [value for values in differences[name] for value in values]
        wins, losses = sum(value > 0 for value in pairs), sum(value < 0 for value in pairs)
        print(f"{name}: of {len(pairs)} pairs {wins} are won, {losses} lost and {len(pairs) - wins - losses} tied, "
              f"sign test p = {sign_p(wins, losses):.2g}")
    for name in [BASELINE, *mechanisms]:
        runs = [value for arms in cells.values() for value in arms[name]]
        print(f"{name}: {sum(value > SOLVED for value in runs)} of {len(runs)} runs above {SOLVED}")


if __name__ == "__main__":
    main()
