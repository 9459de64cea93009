"""Draws loss curves of runs as one SVG: training loss as lines, validation loss as dots.

    python3 curves.py OUT.svg NAME=metrics.jsonl …

Needs Python's standard library alone.
"""

import json
import sys

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 380, 56, 44, 18, 16
COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#6d597a")


def read(path):
    train, valid = [], []
    with open(path) as lines:
        for line in map(json.loads, lines):
            if "loss" in line:
                train.append((line["step"], line["loss"]))
            if "validation_loss" in line:
                valid.append((line["step"], line["validation_loss"]))
    return train, valid


def smooth(points, window=5):
    """Mean over a few logged steps: single batches are noisy."""
    return [(points[i][0], sum(y for _, y in points[max(0, i - window + 1) : i + 1]) / min(i + 1, window)) for i in range(len(points))]


def main():
    out, runs = sys.argv[1], [argument.split("=", 1) for argument in sys.argv[2:]]
    curves = [(name, *read(path)) for name, path in runs]
    last = max(step for _, train, _ in curves for step, _ in train)
    low = min(y for _, train, valid in curves for _, y in smooth(train) + valid)
    high = max(y for _, train, _ in curves for _, y in train)
    low, high = int(low * 2) / 2, int(high * 2 + 1) / 2
    x_of = lambda step: LEFT + (WIDTH - LEFT - RIGHT) * step / last
    y_of = lambda loss: TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low)

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for k in range(int((high - low) * 2) + 1):
        loss = low + k / 2
        svg.append(f'<path d="M{LEFT} {y_of(loss):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        if k % 2 == 0:
            svg.append(f'<text x="{LEFT - 8}" y="{y_of(loss) + 4:.1f}" text-anchor="end">{loss:g}</text>')
    for k in range(6):
        step = last * k // 5
        svg.append(f'<text x="{x_of(step):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{step}</text>')
    svg.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">step</text>')
    svg.append(f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">nats per token</text>')
    for k, (name, train, valid) in enumerate(curves):
        colour = COLOURS[k % len(COLOURS)]
        points = " ".join(f"{x_of(s):.1f},{y_of(y):.1f}" for s, y in smooth(train))
        svg.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        svg += [f'<circle cx="{x_of(s):.1f}" cy="{y_of(y):.1f}" r="4" fill="{colour}"/>' for s, y in valid]
        svg.append(f'<text x="{WIDTH - RIGHT - 8}" y="{TOP + 18 + 18 * k}" text-anchor="end" fill="{colour}">{name}</text>')
    svg.append("</svg>")
    with open(out, "w") as file:
        file.write("\n".join(svg) + "\n")


if __name__ == "__main__":
    main()
