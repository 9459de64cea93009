"""Draws what `tapir_lengths --times` printed, both axes logarithmic, with a circle where a mechanism becomes quicker than the dot product,
and prints these lengths.

    python3 draw_lengths.py TIMES OUT.svg

Needs Python's standard library alone.
"""

import math
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 460, 60, 170, 16, 44
COLOURS = ("#000000", "#777777", "#1b6ca8", "#c8553d", "#588157", "#6d597a", "#d19a2a", "#2a9d8f", "#9b2226", "#5e60ce", "#8d6e63")


def read(path):
    with open(path) as lines:
        head, *rows = [line.rstrip("\n").split("\t") for line in lines]
    lengths = [int(row[0]) for row in rows]
    return lengths, {name: [float(row[k + 1]) for row in rows] for k, name in enumerate(head[1:])}


def crossing(lengths, mine, other):
    """The length from which on `mine` is quicker, and the time there, on straight lines between points of both logarithms.

    The length is 0 where it always is, and infinite where it never is.
    """
    gaps = [math.log(a / b) for a, b in zip(mine, other)]
    if gaps[-1] >= 0:
        return math.inf, math.inf
    k = max((i for i, gap in enumerate(gaps) if gap >= 0), default=-1)
    if k < 0:
        return 0, mine[0]
    share = gaps[k] / (gaps[k] - gaps[k + 1])
    return lengths[k] * (lengths[k + 1] / lengths[k]) ** share, mine[k] * (mine[k + 1] / mine[k]) ** share


def told(length, lengths):
    if length == math.inf:
        return f"beyond {lengths[-1]:,}"
    if length == 0:
        return f"below {lengths[0]:,}"
    return f"{round(length, -1 if length < 1000 else -2):,.0f}"


def spread(places, apart):
    """The same order, but at least so far apart."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, after in zip(order, order[1:]):
        moved[after] = max(moved[after], moved[before] + apart)
    return moved


def draw(lengths, times, out):
    low = math.floor(math.log10(min(min(ys) for ys in times.values())))
    high = math.ceil(math.log10(max(max(ys) for ys in times.values())))
    x_of = lambda n: LEFT + (WIDTH - LEFT - RIGHT) * math.log(n / lengths[0]) / math.log(lengths[-1] / lengths[0])
    y_of = lambda ms: TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(ms)) / (high - low)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for power in range(low, high + 1):
        y = y_of(10**power)
        svg.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        svg.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:g}</text>')
    for n in lengths:
        svg.append(f'<text x="{x_of(n):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{n}</text>')
    svg.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">tokens</text>')
    svg.append(f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">ms, forward and backward</text>')
    names = spread([y_of(ys[-1]) for ys in times.values()], 15)
    for k, (name, ys) in enumerate(times.items()):
        colour, dashes = COLOURS[k % len(COLOURS)], ' stroke-dasharray="5 3"' if k >= len(COLOURS) else ""
        points = " ".join(f"{x_of(n):.1f},{y_of(ms):.1f}" for n, ms in zip(lengths, ys))
        svg.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{2.5 if k < 2 else 1.5}"{dashes}/>')
        svg.append(f'<text x="{WIDTH - RIGHT + 8}" y="{names[k] + 4:.1f}" fill="{colour}">{name}</text>')
        n, ms = crossing(lengths, ys, next(iter(times.values())))
        if 0 < n < math.inf:
            svg.append(f'<circle cx="{x_of(n):.1f}" cy="{y_of(ms):.1f}" r="4" fill="none" stroke="{colour}"/>')
    svg.append("</svg>")
    with open(out, "w") as file:
        file.write("\n".join(svg) + "\n")


def main():
    lengths, times = read(sys.argv[1])
    draw(lengths, times, sys.argv[2])
    (naive, fused), others = list(times)[:2], list(times)[2:]
    print(f"| mechanism | quicker than {naive} from | than {fused} from | ms at {lengths[-1]:,} |\n|---|---|---|---|")
    for name in (naive, fused):
        print(f"| {name} | | | {times[name][-1]:,.0f} |")
    for name in others:
        marks = [told(crossing(lengths, times[name], times[than])[0], lengths) for than in (naive, fused)]
        print(f"| {name} | {marks[0]} | {marks[1]} | {times[name][-1]:,.0f} |")


if __name__ == "__main__":
    main()
