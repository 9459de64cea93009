"""Cases of mechanisms.json that are whole mixers, or what stands behind the feed-forward network; mechanisms.py writes them and has
their formulas.
"""

import math

import torch
from mechanism_case import BATCH, HEADS, WIDTH, attend, draw, record, tensor

VERSIONS = {  # of MLP-QKV: networks, norm, activation, hidden_mult, norm_shared, output_bias
    "paper": ("qkv", "after", "relu", 2, False, True),
    "marian": ("qko", "before", "relu", 2, False, True),
    "roberta": ("qkv", "none", "relu", 2, False, True),
    "ceres": ("qkv", "before", "mish", 1, True, False),
    "values and results": ("vo", "before", "relu", 2, True, True),
}


def mlp_qkv_case(version, generator, causal=False, present=None):
    networks, norm, activation, hidden_mult, norm_shared, output_bias = VERSIONS[version]
    width, length, keys = 4, 3, 3 if causal else 4
    hidden, parameters = hidden_mult * width, {}
    names = {"q": "query", "k": "key", "v": "value", "o": "out"}
    for letter, name in names.items():
        if letter not in networks:
            parameters[f"{name}.weight"] = draw(generator, width, width, scale=0.75)
            continue
        parameters[f"{name}.hidden.weight"] = draw(generator, hidden, width, scale=0.75)
        parameters[f"{name}.hidden.bias"] = draw(generator, hidden, scale=0.5)
        parameters[f"{name}.out.weight"] = draw(generator, width, hidden, scale=0.75)
        if output_bias:
            parameters[f"{name}.out.bias"] = draw(generator, width, scale=0.5)
    owners = ["norm"] if norm_shared else [f"{names[letter]}.norm" for letter in networks]
    for owner in owners if norm != "none" else []:
        parameters[f"{owner}.weight"] = 1 + draw(generator, hidden, scale=0.5)
        parameters[f"{owner}.bias"] = draw(generator, hidden, scale=0.5)

    def forward(p):
        def normalise(t, name):
            owner = "norm" if norm_shared else f"{name}.norm"
            return torch.nn.functional.layer_norm(t, [hidden], p[f"{owner}.weight"], p[f"{owner}.bias"], 1e-5)

        def project(tokens, letter):
            name = names[letter]
            if letter not in networks:
                return tokens @ p[f"{name}.weight"].T
            t = tokens @ p[f"{name}.hidden.weight"].T + p[f"{name}.hidden.bias"]
            t = normalise(t, name) if norm == "before" else t
            t = torch.relu(t) if activation == "relu" else torch.nn.functional.mish(t)
            t = normalise(t, name) if norm == "after" else t
            return t @ p[f"{name}.out.weight"].T + (p[f"{name}.out.bias"] if output_bias else 0.0)

        def heads(tokens):
            return tokens.reshape(1, -1, HEADS, width // HEADS).transpose(1, 2)

        q, k, v = heads(project(p["x"], "q")), heads(project(p["context"], "k")), heads(project(p["context"], "v"))
        scores = torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(width // HEADS)
        allowed = torch.tensor(present or [1] * keys, dtype=torch.bool).expand(length, keys)
        mixed = attend(scores, v, allowed.tril() if causal else allowed)
        return project(mixed.transpose(1, 2).reshape(1, length, width), "o")

    inputs = {"x": draw(generator, 1, length, width), "context": draw(generator, 1, keys, width)}
    options = {letter: letter in networks for letter in names}
    options |= {"norm": norm, "activation": activation, "hidden_mult": hidden_mult}
    options |= {"norm_shared": norm_shared, "output_bias": output_bias}
    fields = {"mechanism": "mlp_qkv", "options": options} | ({"causal": True} if causal else {})
    fields |= {"present": [present]} if present else {}
    name = f"mlp_qkv, {version}" + ", causal" * causal + ", padded" * bool(present)
    return record(name, fields, inputs, parameters, draw(generator, 1, length, width), forward)


def associative_case(options, generator):
    """What evaluation does; what a training batch does is in associative.py."""
    width = HEADS * WIDTH
    shapes = {"feed_forward_norm.weight": (width,), "feed_forward_norm.bias": (width,)}
    if options["layer"] == "dense":
        options |= {"slot_width": 2, "memory_heads": 1}  # 4 + 16 + 16 + 4 + 4 + 24 parameters
        hidden = 68 // (2 * width + 1)
        shapes |= {"dense.up.weight": (hidden, width), "dense.up.bias": (hidden,)}
        shapes |= {"dense.down.weight": (width, hidden), "dense.down.bias": (width,)}
    else:
        slot_width, inner = options["slot_width"], options["memory_heads"] * options["slot_width"]
        shapes |= {"workspace.query.weight": (inner, slot_width), "workspace.out.weight": (slot_width, inner)}
        shapes |= {"workspace.key.weight": (inner, width), "workspace.value.weight": (inner, width)}
        shapes |= {"workspace.norm.weight": (slot_width,), "workspace.norm.bias": (slot_width,)}
        shapes |= {"workspace.patterns.weight": (width, slot_width), "workspace.patterns.bias": (width,)}
    parameters = {name: draw(generator, *shape, scale=0.75) for name, shape in shapes.items()}
    inputs, upstream = {"z": draw(generator, BATCH, 3, width)}, draw(generator, BATCH, 3, width)
    buffers = {}
    if options["layer"] == "workspace":
        buffers["workspace.memory"] = draw(generator, options["slots"], options["slot_width"])

    def forward(p):
        y = torch.nn.functional.layer_norm(p["z"], [width], p["feed_forward_norm.weight"], p["feed_forward_norm.bias"], 1e-5)
        if options["layer"] == "dense":
            inner = torch.nn.functional.gelu(y @ p["dense.up.weight"].T + p["dense.up.bias"])
            return y + inner @ p["dense.down.weight"].T + p["dense.down.bias"]
        patterns = buffers["workspace.memory"] @ p["workspace.patterns.weight"].T + p["workspace.patterns.bias"]
        found = y
        for _ in range(options["retrieval_steps"]):
            found = torch.softmax(options["beta"] * found @ patterns.T, -1) @ patterns
        return y + found

    fields = {"mechanism": "associative", "options": options}
    fields["buffers"] = {name: tensor(value) for name, value in buffers.items()}
    words = ", ".join(f"{key} {value}" for key, value in options.items() if key in ("layer", "beta", "retrieval_steps"))
    return record(f"associative, {words}", fields, inputs, parameters, upstream, forward)


def associative_heads_case(causal, generator):
    """What stands in front of the feed-forward network: scaled dot product, which knows no parameter of the layer behind it."""
    width, hidden = HEADS * WIDTH, 4
    shapes = {"feed_forward_norm.weight": (width,), "feed_forward_norm.bias": (width,)}
    shapes |= {"dense.up.weight": (hidden, width), "dense.up.bias": (hidden,)}
    shapes |= {"dense.down.weight": (width, hidden), "dense.down.bias": (width,)}
    parameters = {name: draw(generator, *shape) for name, shape in shapes.items()}
    inputs = {name: draw(generator, 1, HEADS, 3, WIDTH) for name in "qkv"}
    allowed = torch.ones(3, 3, dtype=torch.bool)
    allowed = allowed.tril() if causal else allowed

    def forward(x):
        return attend(torch.einsum("bhid,bhjd->bhij", x["q"], x["k"]) / math.sqrt(WIDTH), x["v"], allowed)

    fields = {"mechanism": "associative", "causal": causal, "buffers": {}}
    fields["options"] = {"layer": "dense", "slot_width": 2, "memory_heads": 1}
    name = f"associative, heads, {'causal' if causal else 'self'}"
    return record(name, fields, inputs, parameters, draw(generator, 1, HEADS, 3, WIDTH), forward)


def recurrence(q, k, v, change, causal, present=None):
    """Token after token: change(state, s) is the state behind key s, of each sample and head (B,H,F,E); one that is not there
    changes nothing."""
    state, states = torch.zeros(*q.shape[:2], q.shape[3], v.shape[3], dtype=torch.float64), []
    for s in range(k.shape[2]):
        state = change(state, s) if not present or present[s] else state
        states.append(state)
    read = [states[t] if causal else states[-1] for t in range(q.shape[2])]
    return torch.stack([torch.einsum("bhf,bhfe->bhe", q[:, :, t], read[t]) for t in range(q.shape[2])], 2)


def rms_norm(x, weight):
    return weight * x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-5)


def recurrent_case(name, mechanism, options, shapes, mix_heads, causal, generator, present=None):
    """A whole mixer of width 8 with 2 heads; mix_heads(heads, p) of heads(tensor) -> (B,H,length,channels)."""
    width, length, keys = 8, 4, 4 if causal else 5
    parameters = {key: draw(generator, *shape, scale=0.5) for key, shape in shapes.items()}
    for key in parameters:
        if key == "norm.weight":
            parameters[key] = 1 + parameters[key]

    def forward(p):
        def heads(tokens):
            return tokens.reshape(BATCH, tokens.shape[1], HEADS, -1).transpose(1, 2)

        mixed = mix_heads(heads, p)
        return mixed.transpose(1, 2).reshape(BATCH, length, width) @ p["out.weight"].T

    inputs = {"x": draw(generator, BATCH, length, width), "context": draw(generator, BATCH, keys, width)}
    fields = {"mechanism": mechanism, "options": options, "causal": causal} | ({"present": [present] * BATCH} if present else {})
    name = name + ", padded" * bool(present)
    return record(name, fields, inputs, parameters, draw(generator, BATCH, length, width), forward)


def gated_linear_case(decay, causal, generator, temperature=2.0, rank=3, present=None):
    options = {"decay": decay} | ({"temperature": temperature} if decay != "fixed" else {})
    options |= ({"rank": rank} if decay == "feature" else {}) | {"chunk": 2}
    shapes = {"query.weight": (4, 8), "key.weight": (4, 8), "value.weight": (8, 8), "out.weight": (8, 8)}
    shapes |= {"gate.weight": (8, 8), "norm.weight": (4,)}
    if decay == "feature":
        shapes |= {"decay.down.weight": (rank, 8), "decay.up.weight": (4, rank), "decay.up.bias": (4,)}
    if decay == "head":
        shapes |= {"decay.weight": (2, 8), "decay.bias": (2,)}

    def mix_heads(heads, p):
        x, context = p["x"], p["context"]
        q, r = heads(x @ p["query.weight"].T), heads(x @ p["gate.weight"].T)
        k, v = heads(context @ p["key.weight"].T), heads(context @ p["value.weight"].T)
        if decay == "fixed":
            alpha = (1 - 2.0 ** (-5 - torch.arange(HEADS, dtype=torch.float64))).reshape(1, HEADS, 1, 1).expand(k.shape)
        else:
            low = context @ p["decay.down.weight"].T if decay == "feature" else context
            name = "decay.up" if decay == "feature" else "decay"
            alpha = torch.sigmoid(heads(low @ p[f"{name}.weight"].T + p[f"{name}.bias"])) ** (1 / options["temperature"])

        def change(state, s):
            return alpha[:, :, s, :, None] * state + k[:, :, s, :, None] * v[:, :, s, None, :]

        y = rms_norm(recurrence(q, k, v, change, causal, present), p["norm.weight"])
        return y * r * torch.sigmoid(r)

    name = f"gated_linear, {'causal' if causal else 'cross'}, {decay}" + f", temperature {temperature}" * (temperature != 2)
    return recurrent_case(name, "gated_linear", options, shapes, mix_heads, causal, generator, present)


def delta_rule_case(keys, causal, generator, present=None):
    options = {"keys": keys, "chunk": 2}
    shapes = {f"{name}.weight": (8, 8) for name in ("query", "key", "value", "out")} | {"rate.weight": (2, 8)}
    if keys == "length":
        shapes |= {"norm.weight": (4,)}

    def features(x):
        if keys == "sum":
            y = torch.where(x > 0, x + 1, torch.exp(torch.clamp(x, max=0.0)))
            return y / y.sum(-1, keepdim=True)
        y = x * torch.sigmoid(x)
        return y / torch.sqrt((y**2).sum(-1, keepdim=True) + 1e-6)

    def mix_heads(heads, p):
        x, context = p["x"], p["context"]
        q, k = features(heads(x @ p["query.weight"].T)), features(heads(context @ p["key.weight"].T))
        v, beta = heads(context @ p["value.weight"].T), torch.sigmoid(heads(context @ p["rate.weight"].T))
        v = v * torch.sigmoid(v) if keys == "length" else v

        def change(state, s):
            missing = v[:, :, s] - torch.einsum("bhf,bhfe->bhe", k[:, :, s], state)
            return state + beta[:, :, s, :, None] * k[:, :, s, :, None] * missing[:, :, None, :]

        o = recurrence(q, k, v, change, causal, present)
        return rms_norm(o, p["norm.weight"]) if keys == "length" else o

    name = f"delta_rule, {'causal' if causal else 'cross'}, {keys}"
    return recurrent_case(name, "delta_rule", options, shapes, mix_heads, causal, generator, present)


def care_case(projections, causal, generator):
    """A whole mixer of width 8 with 2 heads; query_key: values are the tokens, and no layer follows."""
    width, length, keys = 8, 4, 4 if causal else 5
    names = ("query", "key", "value", "out") if projections == "all" else ("query", "key")
    parameters = {f"{name}.weight": draw(generator, width, width, scale=0.5) for name in names}
    allowed = torch.ones(length, keys, dtype=torch.bool)
    allowed = allowed.tril() if causal else allowed

    def forward(p):
        def project(tokens, name):
            return tokens @ p[f"{name}.weight"].T if name in names else tokens

        def heads(tokens):
            return tokens.reshape(BATCH, tokens.shape[1], HEADS, -1).transpose(1, 2)

        q, k = (torch.nn.functional.elu(heads(project(p[x], name))) + 1 for x, name in (("x", "query"), ("context", "key")))
        w = torch.einsum("bhid,bhjd->bhij", q, k) * allowed
        mixed = (w / (w + 1e-6 * allowed).sum(-1, keepdim=True)) @ heads(project(p["context"], "value"))
        return project(mixed.transpose(1, 2).reshape(BATCH, length, width), "out")

    inputs = {"x": draw(generator, BATCH, length, width), "context": draw(generator, BATCH, keys, width)}
    fields = {"mechanism": "care", "options": {"projections": projections}, "causal": causal}
    name = f"care, {'causal' if causal else 'cross'}, projections {projections}"
    return record(name, fields, inputs, parameters, draw(generator, BATCH, length, width), forward)


def laplacian_case(options, generator):
    """A whole mixer of width 8 with 2 heads, on a sequence of 7 tokens."""
    width, length = 8, 7
    shapes = {f"{name}.weight": (width, width) for name in ("query", "key", "value", "out")}
    if options["levels"] > 0 and options["fusion"] == "learned":
        shapes |= {"fusion": (2, width)}
    parameters = {key: draw(generator, *shape, scale=0.5) for key, shape in shapes.items()}

    def forward(p):
        def heads(tokens):  # (B,H,length,D)
            return tokens.reshape(BATCH, length, HEADS, -1).transpose(1, 2)

        def merged(tokens):
            return tokens.transpose(1, 2).reshape(BATCH, length, width)

        x = p["x"]
        q, k, v = (heads(x @ p[f"{name}.weight"].T) for name in ("query", "key", "value"))
        q = torch.softmax(q, -1)
        efficient = merged(q @ (torch.softmax(k, 2).transpose(2, 3) @ v)) @ p["out.weight"].T
        if options["levels"] == 0:
            return efficient
        context, band, blurred = 0, x, x
        for level in range(options["levels"]):
            own = torch.softmax(heads(band), 2).transpose(2, 3) @ heads(band)
            context = context + (torch.softmax(own, -1) if level == 0 and options["first_softmax"] else own)
            places = torch.arange(-level - 1, level + 2, dtype=torch.float64)
            kernel = torch.exp(-0.5 * (places / (1.6 * 2 ** (level / 3))) ** 2)
            kernel = (kernel / kernel.sum()).expand(width, 1, -1)
            lower = torch.nn.functional.conv1d(blurred.transpose(1, 2), kernel, padding=level + 1, groups=width).transpose(1, 2)
            band, blurred = blurred - lower, lower
        frequency = merged(q @ context)
        if options["fusion"] == "sum":
            return efficient + frequency
        return p["fusion"][0] * efficient + p["fusion"][1] * frequency

    words = [f"{options['levels']} levels"] + ["raw"] * (not options["first_softmax"]) + ["sum"] * (options["fusion"] == "sum")
    fields = {"mechanism": "laplacian", "options": options, "causal": False}
    inputs = {"x": draw(generator, BATCH, length, width)}
    return record(f"laplacian, {', '.join(words)}", fields, inputs, parameters, draw(generator, BATCH, length, width), forward)
