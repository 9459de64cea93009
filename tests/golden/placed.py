"""Cases of mechanisms.json in which tokens have places; mechanisms.py writes them.

`shape` says which: the rows and columns of a grid and the class tokens before its cells; or positions, whose bias of pairs is
alibi:       -2^(-8h/H) |i - j| for head h = 1 ... H (arXiv 2108.12409)
kerple_log:  -r1 log(1 + r2 |i - j|), r1 and r2 of each head (arXiv 2205.09921)
fire:        f(psi(|i - j|)/(psi(max(i, L)) + 1e-6)), psi(x) = log(c x + 1), L = 512 threshold, f 32 units of relu (arXiv 2310.04418)
t5:          a number for each head and distance, which are 1 ... 7 here, another one where j > i unless causal (arXiv 1910.10683)
rotary:      neighbouring channels of q and k, pair c, are turned by i 10000^(-2c/D); on a grid the first half of the channels by the
             row, the second by the column, each half as if it were all; class tokens not at all (arXiv 2104.09864)
Inputs `places` (B,T,d) and `context_places` (B,S,d) are coordinates of queries and keys.

Dot product:   softmax of s + b, b such a bias
DAPE V2:       softmax of s + b + C2(leaky(C1([s, b]))); with rotary positions [s] alone (arXiv 2410.04798)
Attention-SH:  windows of r x r cells, cut short at the edges of the grid; a class token is a window (arXiv 2406.13781)
FLatten:       the convolution is over cells, k x k, centred, 0 at class tokens; key_positions: k_j + p_j in place of k_j, before
               the features (arXiv 2308.00442)
Galerkin:      o_i = (q_i, p_i) . sum_j (LN(k_j), p_j)^T (LN(v_j), p_j) / n, of whole mixers, p coordinates; out (C, H (D + d))
Fourier:       o_i = sum_j (LN(q_i), p_i) . (LN(k_j), p_j) / sqrt(D + d) (v_j, p_j) / n (arXiv 2105.14995)
Laplacian:     blurs are over cells, by products of two Gaussians; a class token is not blurred (arXiv 2309.00108)
Else they are as in mechanisms.py.
"""

import math

import torch
from mechanism_case import BATCH, HEADS, WIDTH, attend, draw, record


def mask(queries, keys, causal, present=None):
    allowed = torch.tensor(present or [1] * keys, dtype=torch.bool).expand(queries, keys)
    return allowed.tril() if causal else allowed


def padding(present, batch):
    return {"present": [present] * batch} if present else {}


def scores(q, k):
    return torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(q.shape[-1])


def heads_of_inputs(generator, queries, keys):
    return {name: draw(generator, 1, HEADS, queries if name == "q" else keys, WIDTH) for name in "qkv"}


def of_channels(tokens):  # (B,H,S,D) -> (B,H D,S)
    return tokens.transpose(2, 3).flatten(1, 2)


# ---- biases of places


def bias_parameters(positions, generator):
    if positions == "kerple_log":
        return {f"positions.{name}": draw(generator, HEADS).abs() + 0.125 for name in ("r1", "r2")}
    if positions == "t5":
        return {"positions.table.weight": draw(generator, 32, HEADS)}
    if positions != "fire":
        return {}
    shapes = {"hidden.weight": (32, 1), "hidden.bias": (32,), "out.weight": (HEADS, 32), "out.bias": (HEADS,)}
    numbers = {"c": torch.tensor([0.75], dtype=torch.float64), "threshold": torch.tensor([2.5 / 512], dtype=torch.float64)}
    numbers |= {name: draw(generator, *shape, scale=0.5) for name, shape in shapes.items()}
    return {f"positions.{name}": value for name, value in numbers.items()}


def bias_of_places(positions, x, queries, keys, causal):  # (H,T,S)
    i, j = torch.arange(queries)[:, None], torch.arange(keys)[None]
    distance = (i - j).abs().double()
    if positions == "alibi":
        slopes = torch.tensor([2.0 ** (-8 * (h + 1) / HEADS) for h in range(HEADS)], dtype=torch.float64)
        return -slopes[:, None, None] * distance
    if positions == "kerple_log":
        r1, r2 = (x[f"positions.{name}"][:, None, None] for name in ("r1", "r2"))
        return -r1 * torch.log(1 + r2 * distance)
    if positions == "t5":
        rows = (i - j).clamp(min=0) if causal else (i - j).abs() + 16 * (j > i)
        return x["positions.table.weight"][rows].permute(2, 0, 1)
    c, limit = x["positions.c"], 512 * x["positions.threshold"]
    share = torch.log(c * distance + 1) / (torch.log(c * torch.maximum(i.double(), limit) + 1) + 1e-6)
    hidden = torch.relu(share[..., None] @ x["positions.hidden.weight"].T + x["positions.hidden.bias"])
    return (hidden @ x["positions.out.weight"].T + x["positions.out.bias"]).permute(2, 0, 1)


def turned(tokens, places=None):
    pairs = torch.view_as_complex(tokens.unflatten(-1, (-1, 2)).contiguous())
    rates = 10000.0 ** (-2 * torch.arange(pairs.shape[-1], dtype=torch.float64) / tokens.shape[-1])
    angles = (torch.arange(tokens.shape[2]) if places is None else places).double()[:, None] * rates
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def turned_on(grid, tokens):
    cells = torch.arange(grid["rows"] * grid["columns"])
    own = [torch.cat([torch.zeros(grid["class_tokens"]), of_cells]) for of_cells in (cells // grid["columns"], cells % grid["columns"])]
    return torch.cat([turned(half, places) for half, places in zip(tokens.chunk(2, -1), own)], -1)


def dot_product_case(positions, grid, causal, generator):
    """Heads of 8 channels; `grid` of rotary positions, or None."""
    length, width = grid["class_tokens"] + grid["rows"] * grid["columns"] if grid else 5, 2 * WIDTH
    parameters = bias_parameters(positions, generator)

    def forward(x):
        q, k = x["q"], x["k"]
        if positions == "rotary":
            biased = scores(*(turned_on(grid, one) if grid else turned(one) for one in (q, k)))
        else:
            biased = scores(q, k) + bias_of_places(positions, x, length, length, causal)
        return attend(biased, x["v"], mask(length, length, causal))

    words = [positions, "causal" if causal else "self"] + ([f"grid of {grid['rows']} x {grid['columns']}"] if grid else [])
    fields = {"mechanism": "dot_product", "causal": causal, "options": {}, "shape": {"positions": positions} | (grid or {})}
    inputs = {name: draw(generator, 1, HEADS, length, width) for name in "qkv"}
    upstream = draw(generator, 1, HEADS, length, width)
    return record(f"dot product, {', '.join(words)}", fields, inputs, parameters, upstream, forward)


def dape_case(positions, kernel, mask_hidden, causal, generator, present=None):
    queries, units, keys = 4, 2, 4 if causal else 5
    channels, allowed = HEADS if positions == "rotary" else 2 * HEADS, mask(queries, keys, causal, present)
    shapes = {"first.weight": (kernel, channels, units), "first.bias": (units,)}
    shapes |= {"second.weight": (kernel, units, HEADS), "second.bias": (HEADS,)}
    parameters = {name: draw(generator, *shape) for name, shape in shapes.items()} | bias_parameters(positions, generator)

    def forward(x):
        def convolution(picture, which):
            weight = x[f"{which}.weight"].permute(2, 1, 0)[:, :, None]
            return torch.nn.functional.conv2d(picture, weight, x[f"{which}.bias"], padding=(0, kernel // 2))

        if positions == "rotary":
            plain = scores(turned(x["q"]), turned(x["k"]))
            picture, biased = plain, plain
        else:
            plain, bias = scores(x["q"], x["k"]), bias_of_places(positions, x, queries, keys, causal)[None]
            picture, biased = torch.cat([plain, bias], 1), plain + bias
        hidden = torch.nn.functional.leaky_relu(convolution(picture * allowed, "first"))
        hidden = hidden * allowed if mask_hidden else hidden
        return attend(biased + convolution(hidden, "second"), x["v"], allowed)

    words = [positions, "causal" if causal else "cross", f"kernel {kernel}"] + ["hidden masked"] * mask_hidden
    words += ["padded"] * bool(present)
    fields = {"mechanism": "dape", "causal": causal, "shape": {"positions": positions}} | padding(present, 1)
    fields["options"] = {"kernel": kernel, "hidden": units, "mask_hidden": mask_hidden}
    inputs = heads_of_inputs(generator, queries, keys)
    return record(f"dape, {', '.join(words)}", fields, inputs, parameters, draw(generator, 1, HEADS, queries, WIDTH), forward)


# ---- grids


def squares(grid, r):
    """Windows of tokens: a class token is one, then r x r cells, row by row."""
    alone, rows, columns = grid["class_tokens"], grid["rows"], grid["columns"]
    windows = [[token] for token in range(alone)]
    for top in range(0, rows, r):
        for left in range(0, columns, r):
            cells = [(i, j) for i in range(top, min(top + r, rows)) for j in range(left, min(left + r, columns))]
            windows.append([alone + i * columns + j for i, j in cells])
    return windows


def attention_sh_case(grid, factors, normalised, queries, generator, present=None):
    keys = grid["class_tokens"] + grid["rows"] * grid["columns"]

    def head(x, h):
        windows = [[j for j in own if not present or present[j]] for own in squares(grid, factors[h])]
        windows = [own for own in windows if own]
        k, v = (torch.stack([x[name][:, h, own].mean(1) for own in windows], 1) for name in "kv")
        q = x["q"][:, h]
        if normalised:
            mean, variance = k.mean(1, keepdim=True), k.var(1, unbiased=False, keepdim=True) + 1e-5
            q, k = (q - mean) / variance.sqrt(), (k - mean) / variance.sqrt()
        return torch.softmax(q @ k.transpose(1, 2) / math.sqrt(WIDTH), -1) @ v

    def forward(x):
        return torch.stack([head(x, h) for h in range(HEADS)], 1)

    words = [f"grid of {grid['rows']} x {grid['columns']}", f"{grid['class_tokens']} class tokens", f"{queries} queries"]
    words += [f"factors {' and '.join(map(str, factors))}"] + ["normalised"] * normalised
    words += ["padded"] * bool(present)
    fields = {"mechanism": "attention_sh", "causal": False, "shape": grid} | padding(present, 1)
    fields["options"] = {"factors": factors, "normalised": normalised}
    inputs = heads_of_inputs(generator, queries, keys)
    return record(f"attention_sh, {', '.join(words)}", fields, inputs, {}, draw(generator, 1, HEADS, queries, WIDTH), forward)


def flatten_case(name, grid, options, queries, generator):
    alone, rows, columns = grid["class_tokens"], grid["rows"], grid["columns"]
    keys, kernel, epsilon = alone + rows * columns, options["kernel"], options["epsilon"]
    over, parameters = (1, 3) if options["norm"] == "all" else (3,), {}
    if options["channel_scale"]:
        parameters["scale"] = draw(generator, HEADS, WIDTH)
    if options["key_positions"]:
        parameters["key_positions"] = draw(generator, keys, HEADS * WIDTH, scale=0.5)
    if kernel:
        channels = WIDTH if options["shared_kernel"] else HEADS * WIDTH
        parameters["depthwise.cells.weight"] = draw(generator, kernel, kernel, 1, channels, scale=0.5)
        parameters["depthwise.cells.bias"] = draw(generator, channels, scale=0.5)

    def forward(x):
        def features(tokens):
            r = torch.relu(tokens) + epsilon
            if options["channel_scale"]:
                r = r / torch.nn.functional.softplus(x["scale"])[:, None]
            powers = r ** options["power"]
            return r.pow(2).sum(over, keepdim=True).sqrt() * powers / powers.pow(2).sum(over, keepdim=True).sqrt()

        k = x["k"]
        if options["key_positions"]:
            k = k + x["key_positions"].unflatten(1, (HEADS, WIDTH)).transpose(0, 1)
        w = torch.einsum("bhid,bhjd->bhij", features(x["q"]), features(k))
        y = torch.einsum("bhij,bhjd->bhid", w / (w + epsilon).sum(-1, keepdim=True), x["v"])
        if not kernel:
            return y
        picture = of_channels(x["v"])[:, :, alone:].unflatten(2, (rows, columns))
        weight, bias = x["depthwise.cells.weight"].permute(3, 2, 0, 1), x["depthwise.cells.bias"]
        if options["shared_kernel"]:
            weight, bias = weight.repeat(HEADS, 1, 1, 1), bias.repeat(HEADS)
        local = torch.nn.functional.conv2d(picture, weight, bias, padding=kernel // 2, groups=HEADS * WIDTH).flatten(2)
        local = torch.cat([torch.zeros(1, HEADS * WIDTH, alone, dtype=torch.float64), local], 2)
        return y + local.unflatten(1, (HEADS, WIDTH)).transpose(2, 3)

    inputs = heads_of_inputs(generator, queries, keys)
    inputs = {name: value + (1.5 if name in "qk" else 0.0) for name, value in inputs.items()}  # of which some channels are above 0
    fields = {"mechanism": "flatten", "causal": False, "options": options, "shape": grid}
    return record(f"flatten, {name}", fields, inputs, parameters, draw(generator, 1, HEADS, queries, WIDTH), forward)


def laplacian_case(grid, options, generator):
    """A whole mixer of width 8 with 2 heads, whose projections have biases."""
    width, alone, rows, columns = 8, grid["class_tokens"], grid["rows"], grid["columns"]
    length, parameters = alone + rows * columns, {}
    for name in ("query", "key", "value", "out"):
        parameters |= {f"{name}.weight": draw(generator, width, width, scale=0.5), f"{name}.bias": draw(generator, width)}
    if options["levels"] > 0:
        parameters["fusion"] = draw(generator, 2, width)

    def blurred(tokens, level):
        places = torch.arange(-level - 1, level + 2, dtype=torch.float64)
        kernel = torch.exp(-0.5 * (places / (1.6 * 2 ** (level / 3))) ** 2)
        kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
        picture = tokens[:, alone:].transpose(1, 2).unflatten(2, (rows, columns))
        cells = torch.nn.functional.conv2d(picture, kernel.expand(width, 1, -1, -1), padding=level + 1, groups=width)
        return torch.cat([tokens[:, :alone], cells.flatten(2).transpose(1, 2)], 1)

    def forward(p):
        def heads(tokens):  # (B,H,length,D)
            return tokens.unflatten(2, (HEADS, -1)).transpose(1, 2)

        def merged(tokens):
            return tokens.transpose(1, 2).flatten(2)

        def project(tokens, name):
            return tokens @ p[f"{name}.weight"].T + p[f"{name}.bias"]

        x = p["x"]
        q, k, v = (heads(project(x, name)) for name in ("query", "key", "value"))
        q = torch.softmax(q, -1)
        efficient = project(merged(q @ (torch.softmax(k, 2).transpose(2, 3) @ v)), "out")
        if options["levels"] == 0:
            return efficient
        context, band, lower = 0, x, x
        for level in range(options["levels"]):
            own = torch.softmax(heads(band), 2).transpose(2, 3) @ heads(band)
            context = context + (torch.softmax(own, -1) if level == 0 and options["first_softmax"] else own)
            band, lower = lower - blurred(lower, level), blurred(lower, level)
        return p["fusion"][0] * efficient + p["fusion"][1] * merged(q @ context)

    words = [f"grid of {rows} x {columns}", f"{alone} class tokens", f"{options['levels']} levels"]
    words += ["raw"] * (not options["first_softmax"])
    fields = {"mechanism": "laplacian", "options": options, "causal": False, "shape": grid | {"biases": True}}
    inputs = {"x": draw(generator, BATCH, length, width)}
    return record(f"laplacian, {', '.join(words)}", fields, inputs, parameters, draw(generator, BATCH, length, width), forward)


# ---- coordinates


def softmax_free_case(mechanism, dimensions, norm, scale, causal, generator, present=None):
    """A whole mixer of width 8 with 2 heads, whose projections have biases."""
    width, length, keys, epsilon, joined = 8, 4, 4 if causal else 5, 1e-2, WIDTH + dimensions
    normalised = {"galerkin": ("key", "value"), "fourier": ("query", "key")}[mechanism] if norm else ()
    parameters = {}
    for name in ("query", "key", "value"):
        parameters |= {f"{name}.weight": draw(generator, width, width, scale=0.5), f"{name}.bias": draw(generator, width)}
    parameters |= {"out.weight": draw(generator, width, HEADS * joined, scale=0.5), "out.bias": draw(generator, width)}
    for name in normalised:
        parameters[f"{name}_norm.weight"] = 1 + draw(generator, HEADS, WIDTH, scale=0.5)
        parameters[f"{name}_norm.bias"] = draw(generator, HEADS, WIDTH, scale=0.5)
    allowed = mask(length, keys, causal, present).double()

    def forward(p):
        def head(name, h):  # (B,length,D + d)
            tokens, places = (p["x"], p["places"]) if name == "query" else (p["context"], p["context_places"])
            own = slice(h * WIDTH, (h + 1) * WIDTH)
            y = tokens @ p[f"{name}.weight"][own].T + p[f"{name}.bias"][own]
            if name in normalised:
                weight, bias = p[f"{name}_norm.weight"][h], p[f"{name}_norm.bias"][h]
                y = torch.nn.functional.layer_norm(y, [WIDTH], weight, bias, epsilon)
            return torch.cat([y, places], -1)

        def answer(h):
            q, k, v = (head(name, h) for name in ("query", "key", "value"))
            kernel = q @ k.transpose(1, 2) / (math.sqrt(joined) if scale else 1.0)
            return (kernel * allowed) @ v / allowed.sum(-1, keepdim=True)

        return torch.cat([answer(h) for h in range(HEADS)], -1) @ p["out.weight"].T + p["out.bias"]

    inputs = {"x": draw(generator, BATCH, length, width), "context": draw(generator, BATCH, keys, width)}
    inputs |= {"places": draw(generator, BATCH, length, dimensions), "context_places": draw(generator, BATCH, keys, dimensions)}
    options = {"norm": norm} | ({"epsilon": epsilon} if norm else {}) | ({"scale": scale} if mechanism == "fourier" else {})
    words = [f"{dimensions} coordinates", "causal" if causal else "cross"] + ["norm"] * norm + ["scaled"] * scale
    words += ["padded"] * bool(present)
    fields = {"mechanism": mechanism, "options": options, "causal": causal, "shape": {"biases": True}} | padding(present, BATCH)
    upstream = draw(generator, BATCH, length, width)
    return record(f"{mechanism}, {', '.join(words)}", fields, inputs, parameters, upstream, forward)


def cases():
    generator = torch.Generator().manual_seed(2613)
    for positions, kernel, mask_hidden, causal in (
        ("alibi", 1, True, True), ("alibi", 3, False, True), ("alibi", 3, True, False), ("kerple_log", 1, True, True),
        ("kerple_log", 3, False, True), ("kerple_log", 3, True, False), ("fire", 3, False, True), ("fire", 5, True, False),
        ("t5", 3, True, True), ("t5", 3, True, False), ("rotary", 3, False, True), ("rotary", 1, True, False),
    ):
        yield dape_case(positions, kernel, mask_hidden, causal, generator)
    tall, wide = {"class_tokens": 1, "rows": 3, "columns": 2}, {"class_tokens": 0, "rows": 2, "columns": 3}
    for grid, factors, normalised, queries in (
        (tall, [1, 2], False, 7), (wide, [3, 2], False, 6), (wide, [2, 2], False, 3), (tall, [2, 1], True, 7),
    ):
        yield attention_sh_case(grid, factors, normalised, queries, generator)
    paper = {"power": 3, "kernel": 3, "norm": "head", "shared_kernel": False, "channel_scale": False, "epsilon": 0.0}
    paper |= {"key_positions": False}
    released = {"power": 3, "kernel": 5, "norm": "all", "shared_kernel": True, "channel_scale": True, "epsilon": 1e-6}
    released |= {"key_positions": True}
    for name, grid, options, queries in (
        ("paper, grid of 2 x 3", wide, paper, 6), ("paper, grid of 3 x 2 and a class token", tall, paper, 7),
        ("released, grid of 2 x 3", wide, released, 6), ("released, grid of 3 x 2 and a class token", tall, released, 7),
        ("positions of keys without a kernel, cross", wide, paper | {"kernel": 0, "key_positions": True}, 4),
    ):
        yield flatten_case(name, grid, options, queries, generator)
    for grid, levels, first_softmax in ((wide, 0, True), (wide, 3, True), (tall, 4, False)):
        yield laplacian_case(grid, {"levels": levels, "first_softmax": first_softmax, "fusion": "learned"}, generator)
    for mechanism, dimensions, norm, scale, causal in (
        ("galerkin", 2, True, False, False), ("galerkin", 1, True, False, True), ("galerkin", 2, False, False, False),
        ("fourier", 2, True, True, False), ("fourier", 1, True, True, True), ("fourier", 2, False, False, False),
    ):
        yield softmax_free_case(mechanism, dimensions, norm, scale, causal, generator)
    generator = torch.Generator().manual_seed(2614)
    yield softmax_free_case("fourier", 2, True, False, False, generator)
    for positions, grid, causal in (
        ("alibi", None, True), ("kerple_log", None, True), ("fire", None, True), ("t5", None, False), ("rotary", None, True),
        ("rotary", tall, False), ("rotary", wide, False),
    ):
        yield dot_product_case(positions, grid, causal, generator)
