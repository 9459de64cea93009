"""Reference trainer: a decoder language model on WikiText words, written from the formulas with PyTorch alone.

    python language_model.py --data DATA --variant dot --dtype f64 --max-types 500 --warmup 5 --steps 20 OUT

DATA has wikitext-2/wiki.{train,valid}.tokens. Writes OUT/initial.safetensors (the initial weights),
OUT/vocabulary.txt (one type a line, line number = id) and OUT/reference.json (the losses and how they came about).

Model: x = tokens[ids] + positions; per block x += attention(norm1(x)), x += down(gelu(up(norm2(x)))); norm; head.
Variants: `dot`             scaled dot product in all blocks,
          `neural-released` block 0 with the score network of the authors' code, scaled dot product in the others,
          `neural-paper`    the score network of the paper, one hidden layer of 16 units, in all blocks.
"""

import argparse
import hashlib
import itertools
import json
import math
import pathlib
import time
from collections import Counter
from dataclasses import asdict, dataclass

import pytorch_setup

if __name__ == "__main__":
    pytorch_setup.configure()

import torch
import torch.nn.functional as F
from torch import nn

VARIANTS = ("dot", "neural-released", "neural-paper")
WRONG = ("decay-biases", "tanh-gelu")  # mistakes on purpose, to show that the comparison sees them


@dataclass
class Settings:
    variant: str = "dot"
    layers: int = 4
    width: int = 256
    heads: int = 4
    length: int = 256
    batch: int = 8
    steps: int = 400
    warmup: int = 100
    learning_rate: float = 3e-4
    final_rate: float = 0.1  # as a share of learning_rate
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    seed: int = 1
    head_width: int = 0  # 0: width / heads
    bias: bool = True  # of norms and feed-forward layers
    attention_bias: bool = False
    tied_head: bool = False
    head_bias: bool = False
    reduced_width: int = 2  # d' of the score network
    hidden_width: int = 16  # m of the score network in paper form
    wrong: str | None = None


class ScoreNetwork(nn.Module):
    """s_ij = N([q'_i ; k'_j]), q' = P_q q + p_q, k' = P_k k + p_k; N is a ReLU network, shared by all heads.

    Its first layer is separable: W [q';k'] + b = A q' + C k' + b with W = [A C]; no pair is concatenated.
    """

    def __init__(self, form, head_width, reduced, hidden):
        super().__init__()
        self.reduce_query = nn.Linear(head_width, reduced)
        self.reduce_key = nn.Linear(head_width, reduced)
        if form == "released":
            self.hidden1 = nn.Linear(2 * reduced, reduced)
            self.hidden2 = nn.Linear(reduced, max(1, reduced // 2))
            self.out = nn.Linear(max(1, reduced // 2), 1)
        else:
            self.hidden = nn.Linear(2 * reduced, hidden)
            self.out = nn.Linear(hidden, 1)

    def first_layer(self, q, k):
        """The two summands (B, H, T, m) of the first layer."""
        first = self.hidden if hasattr(self, "hidden") else self.hidden1
        a, c = first.weight.chunk(2, dim=1)
        return F.linear(self.reduce_query(q), a, first.bias), F.linear(self.reduce_key(k), c)

    def last_hidden(self, q, k):
        """The units of the last hidden layer, each (B, H, T, T)."""
        a, c = self.first_layer(q, k)
        units = [F.relu(x.unsqueeze(-1) + y.unsqueeze(-2)) for x, y in zip(a.unbind(-1), c.unbind(-1))]
        if hasattr(self, "hidden2"):
            units = [F.relu(combine(units, *row)) for row in zip(self.hidden2.weight, self.hidden2.bias)]
        return units

    def forward(self, q, k):
        """Scores (B, H, T, T). Of equal ways the one that was measured as the fastest is taken."""
        if hasattr(self, "hidden") and not torch.compiler.is_compiling():
            a, c = self.first_layer(q, k)
            return self.out(F.relu(a.unsqueeze(-2) + c.unsqueeze(-3))).squeeze(-1)
        return combine(self.last_hidden(q, k), self.out.weight[0], self.out.bias[0])


def combine(units, weights, bias):
    total = units[0] * weights[0] + bias
    for unit, weight in zip(units[1:], weights[1:]):
        total = torch.addcmul(total, unit, weight)
    return total


class Attention(nn.Module):
    def __init__(self, settings, form):
        super().__init__()
        width, self.heads = settings.width, settings.heads
        head_width = settings.head_width or width // self.heads
        inner, bias = self.heads * head_width, settings.attention_bias
        self.query, self.key, self.value = (nn.Linear(width, inner, bias=bias) for _ in range(3))
        self.out = nn.Linear(inner, width, bias=bias)
        self.score = None
        if form:
            self.score = ScoreNetwork(form, head_width, settings.reduced_width, settings.hidden_width)
            mask = torch.full((settings.length, settings.length), -math.inf).triu(1)
            self.register_buffer("mask", mask, persistent=False)

    def split(self, x):
        """(B, T, H D) -> (B, H, T, D)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x):
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        if self.score is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            length = x.shape[1]
            mixed = torch.softmax(self.score(q, k) + self.mask[:length, :length], -1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))


def layer_norm(settings):
    return nn.LayerNorm(settings.width, eps=1e-5, bias=settings.bias)


class Mlp(nn.Module):
    def __init__(self, width, bias, gelu):
        super().__init__()
        self.up, self.down = nn.Linear(width, 4 * width, bias=bias), nn.Linear(4 * width, width, bias=bias)
        self.gelu = gelu

    def forward(self, x):
        return self.down(F.gelu(self.up(x), approximate=self.gelu))


class Block(nn.Module):
    def __init__(self, settings, form):
        super().__init__()
        self.norm1, self.attention = layer_norm(settings), Attention(settings, form)
        self.norm2 = layer_norm(settings)
        self.mlp = Mlp(settings.width, settings.bias, "tanh" if settings.wrong == "tanh-gelu" else "none")

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class LanguageModel(nn.Module):
    def __init__(self, settings, types):
        super().__init__()
        forms = {
            "dot": [None] * settings.layers,
            "neural-released": ["released"] + [None] * (settings.layers - 1),
            "neural-paper": ["paper"] * settings.layers,
        }[settings.variant]
        self.tokens = nn.Embedding(types, settings.width)
        self.positions = nn.Embedding(settings.length, settings.width)
        self.blocks = nn.ModuleList(Block(settings, form) for form in forms)
        self.norm = layer_norm(settings)
        self.head = nn.Linear(settings.width, types, bias=settings.head_bias)
        if settings.tied_head:
            self.head.weight = self.tokens.weight

    def embed(self, ids):
        return self.tokens(ids) + self.positions.weight[: ids.shape[1]]

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    @torch.no_grad()
    def gate_shares(self, ids, blocks=None):
        """Per block with a score network: share of its last hidden units above 0, over all pairs j <= i."""
        x, shares = self.embed(ids), {}
        causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
        for index, block in enumerate(self.blocks[:blocks]):
            attention, y = block.attention, block.norm1(x)
            if attention.score:
                units = attention.score.last_hidden(attention.split(attention.query(y)), attention.split(attention.key(y)))
                shares[index] = sum((unit > 0)[..., causal].double().mean().item() for unit in units) / len(units)
            x = block(x)
        return shares


@torch.no_grad()
def initialise(model, seed):
    """N(0, 0.02^2) for linear and embedding weights, 0 for biases, 1 and 0 for LayerNorm. Drawn in float64."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if ".score." in name:
            continue
        if parameter.dim() == 2:
            parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        else:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)


@torch.no_grad()
def initialise_scores(model, seed):
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases of the score networks. Drawn in float64."""
    generator = torch.Generator().manual_seed(seed)
    for score in (block.attention.score for block in model.blocks if block.attention.score):
        for linear in score.children():
            bound = 1 / math.sqrt(linear.in_features)
            for parameter in (linear.weight, linear.bias):
                draw = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(bound * (2 * draw - 1))


def initialise_open_gate(model, ids, seed):
    """The first score seed from `seed` on whose gates in block 0 are open for 20 % to 80 % of the pairs of `ids`."""
    for score_seed in itertools.count(seed):
        initialise_scores(model, score_seed)
        if 0.2 <= model.gate_shares(ids, blocks=1)[0] <= 0.8:
            return score_seed


def words_of(path):
    """The words of each line, then <eos>. Words are separated by ASCII white space."""
    for line in path.read_bytes().removesuffix(b"\n").split(b"\n"):
        yield from line.split()
        yield b"<eos>"


class Corpus:
    """Ids in order of a type's first appearance in the training part.

    With max_types only that many of its most frequent types (ties: first appearance) are kept, <unk> always among
    them; every other word becomes <unk>. The order of ids remains that of the kept types in the original text.
    """

    def __init__(self, folder, max_types=None):
        train = list(words_of(folder / "wiki.train.tokens"))
        counts = Counter(train)  # in order of first appearance
        kept = set(counts)
        if max_types and max_types < len(counts):
            others = [word for word, _ in counts.most_common() if word != b"<unk>"]  # a stable sort
            kept = {b"<unk>", *others[: max_types - 1]}
        self.types = [word for word in counts if word in kept]
        self.ids = {word: index for index, word in enumerate(self.types)}
        self.train = self.encode(train)
        self.valid = self.encode(words_of(folder / "wiki.valid.tokens"))

    def encode(self, words):
        unknown = self.ids[b"<unk>"]
        return torch.tensor([self.ids.get(word, unknown) for word in words])


def streams(ids, rows):
    """(rows, floor(N / rows)); row b is contiguous text, the remainder is dropped."""
    length = len(ids) // rows
    return ids[: rows * length].view(rows, length)


def batch(rows, length, k):
    """Inputs and targets (B, T) of step k; after the last whole window the text begins again."""
    position = k % ((rows.shape[1] - 1) // length) * length
    return rows[:, position : position + length], rows[:, position + 1 : position + length + 1]


def learning_rate(settings, k):
    if k < settings.warmup:
        return settings.learning_rate * (k + 1) / settings.warmup
    last = settings.final_rate * settings.learning_rate
    progress = (k - settings.warmup) / (settings.steps - settings.warmup)
    return last + 0.5 * (settings.learning_rate - last) * (1 + math.cos(math.pi * progress))


def make_optimizer(model, settings):
    """AdamW; weights of linear layers and convolutions decay, biases, norms, embeddings and places do not."""
    decay = {id(m.weight) for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    if settings.wrong == "decay-biases":
        decay |= {id(p) for name, p in model.named_parameters() if name.endswith(".bias")}
    groups = [
        {"params": [p for p in model.parameters() if id(p) in decay], "weight_decay": settings.weight_decay},
        {"params": [p for p in model.parameters() if id(p) not in decay], "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, eps=settings.epsilon, fused=True)


def clip_gradients(model, limit):
    """Scales all gradients by min(1, limit / norm), norm over all parameters together."""
    gradients = [p.grad for p in model.parameters()]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))).item()
    if norm > limit:
        torch._foreach_mul_(gradients, limit / norm)
    return norm


def mean_loss(model, inputs, targets):
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def update(model, optimizer, settings, k):
    """Step k by the gradients that the parameters have; returns their norm before clipping."""
    norm = clip_gradients(model, settings.clip)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings, k)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def train_step(model, optimizer, settings, k, loss):
    """Step k from the loss of its batch; returns the loss before the update and the gradient norm before clipping."""
    loss.backward()
    return loss.item(), update(model, optimizer, settings, k)


@torch.no_grad()
def evaluate(model, rows, length):
    """Mean over every target (each stream's first token is none) in windows of `length`, the last one shorter."""
    total, count = 0.0, 0
    for position in range(0, rows.shape[1] - 1, length):
        targets = rows[:, position + 1 : position + length + 1]
        logits = model(rows[:, position : position + targets.shape[1]])
        total += F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").double().sum().item()
        count += targets.numel()
    return {"nll": total / count, "perplexity": math.exp(total / count), "tokens": count}


def digest(data):
    return hashlib.sha256(data).hexdigest()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--variant", choices=VARIANTS, default="dot")
    parser.add_argument("--dtype", choices=("f32", "f64"), default="f32")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--max-types", type=int)
    parser.add_argument("--wrong", choices=WRONG)
    parser.add_argument("--head-width", type=int, default=0)
    parser.add_argument("--no-bias", action="store_true", help="none in norms and feed-forward layers")
    for part in ("attention-bias", "tied-head", "head-bias"):
        parser.add_argument(f"--{part}", action="store_true")
    parser.add_argument("--initial", type=pathlib.Path, help="safetensors file of initial weights; else drawn here")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    dtype = {"f32": torch.float32, "f64": torch.float64}[options.dtype]
    settings = Settings(
        variant=options.variant,
        steps=options.steps,
        warmup=options.warmup,
        wrong=options.wrong,
        head_width=options.head_width,
        bias=not options.no_bias,
        attention_bias=options.attention_bias,
        tied_head=options.tied_head,
        head_bias=options.head_bias,
    )
    corpus = Corpus(options.data / "wikitext-2", options.max_types)
    rows = streams(corpus.train, settings.batch)

    model = LanguageModel(settings, len(corpus.types)).to(dtype)
    initialise(model, settings.seed)
    if options.initial:
        from safetensors.torch import load_file

        initial = load_file(options.initial)
        if settings.tied_head:  # the file has the matrix once
            initial["head.weight"] = initial["tokens.weight"]
        model.load_state_dict(initial)
    first = batch(rows, settings.length, 0)[0]
    gate = None
    if settings.variant != "dot":
        score_seed = None if options.initial else initialise_open_gate(model, first, settings.seed)
        gate = {"score_seed": score_seed, "active_share_first": model.gate_shares(first)}
        print(f"score seed {score_seed}, share of active gates per block {gate['active_share_first']}", flush=True)

    options.out.mkdir(parents=True, exist_ok=True)
    vocabulary = b"".join(word + b"\n" for word in corpus.types)
    (options.out / "vocabulary.txt").write_bytes(vocabulary)
    from safetensors.torch import save_file

    initial = model.state_dict()
    if settings.tied_head:
        del initial["head.weight"]
    save_file(initial, options.out / "initial.safetensors")

    optimizer, losses, norms, begin = make_optimizer(model, settings), [], [], time.perf_counter()
    for k in range(settings.steps):
        loss, norm = train_step(model, optimizer, settings, k, mean_loss(model, *batch(rows, settings.length, k)))
        losses.append(loss)
        norms.append(norm)
        if k % 20 == 0 or k + 1 == settings.steps:
            print(f"step {k} loss {loss:.6f} norm {norm:.4f} seconds {time.perf_counter() - begin:.1f}", flush=True)
    if gate:
        gate["active_share_last"] = model.gate_shares(first)

    reference = {
        "versions": pytorch_setup.versions(),
        "cpu": pytorch_setup.cpu(),
        "dtype": options.dtype,
        "threads": options.threads,
        "settings": asdict(settings),
        "vocabulary": {"max_types": options.max_types, "types": len(corpus.types), "sha256": digest(vocabulary)},
        "train_tokens": len(corpus.train),
        "train_ids_int32_sha256": digest(corpus.train.int().numpy().tobytes()),
        "initial_sha256": digest((options.out / "initial.safetensors").read_bytes()),
        "gate": gate,
        "losses": losses,
        "gradient_norms": norms,
        "validation": evaluate(model, streams(corpus.valid, settings.batch), settings.length),
    }
    (options.out / "reference.json").write_text(json.dumps(reference, indent=1) + "\n")
    print(f"validation {reference['validation']}", flush=True)


if __name__ == "__main__":
    main()
