"""Draws curves of runs as one SVG: training loss as lines and validation loss as dots, or the accuracy on the validation part.

    python3 curves.py [--accuracy] OUT.svg NAME=metrics.jsonl …

Needs Python's standard library alone.
"""

import json
import sys

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 380, 56, 44, 18, 16
COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#6d597a")


def read(path, accuracy):
    train, valid = [], []
    judged = "validation_accuracy" if accuracy else "validation_loss"
    with open(path) as lines:
        for line in map(json.loads, lines):
            if "loss" in line and not accuracy:
                train.append((line["step"], line["loss"]))
            if judged in line:
                valid.append((line["step"], line[judged]))
    return (valid if accuracy else smooth(train)), valid


def smooth(points, window=5):
    """Mean over a few logged steps: single batches are noisy."""
    return [(points[i][0], sum(y for _, y in points[max(0, i - window + 1) : i + 1]) / min(i + 1, window)) for i in range(len(points))]


def main():
    words = [argument for argument in sys.argv[1:] if argument != "--accuracy"]
    accuracy, out, runs = len(words) < len(sys.argv) - 1, words[0], [word.split("=", 1) for word in words[1:]]
    curves = [(name, *read(path, accuracy)) for name, path in runs]
    grid = 10 if accuracy else 2  # lines for each unit
    last = max(step for _, line, _ in curves for step, _ in line)
    low = min(y for _, line, valid in curves for _, y in line + valid)
    high = max(y for _, line, _ in curves for _, y in line)
    low, high = int(low * grid) / grid, int(high * grid + 1) / grid
    place = HEIGHT - BOTTOM - 18 * len(curves) if accuracy else TOP + 18  # of the names: where no curve is
    x_of = lambda step: LEFT + (WIDTH - LEFT - RIGHT) * step / last
    y_of = lambda loss: TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low)

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for k in range(round((high - low) * grid) + 1):
        loss = low + k / grid
        svg.append(f'<path d="M{LEFT} {y_of(loss):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        if k % 2 == 0 or accuracy:
            svg.append(f'<text x="{LEFT - 8}" y="{y_of(loss) + 4:.1f}" text-anchor="end">{loss:g}</text>')
    for k in range(6):
        step = last * k // 5
        svg.append(f'<text x="{x_of(step):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{step}</text>')
    svg.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">step</text>')
    unit = "share of validation images" if accuracy else "nats per token"
    svg.append(f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">{unit}</text>')
    for k, (name, line, valid) in enumerate(curves):
        colour = COLOURS[k % len(COLOURS)]
        points = " ".join(f"{x_of(s):.1f},{y_of(y):.1f}" for s, y in line)
        svg.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        svg += [f'<circle cx="{x_of(s):.1f}" cy="{y_of(y):.1f}" r="4" fill="{colour}"/>' for s, y in valid]
        svg.append(f'<text x="{WIDTH - RIGHT - 8}" y="{place + 18 * k}" text-anchor="end" fill="{colour}">{name}</text>')
    svg.append("</svg>")
    with open(out, "w") as file:
        file.write("\n".join(svg) + "\n")


if __name__ == "__main__":
    main()
