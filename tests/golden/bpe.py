"""Ids of GPT-2's tokenizer, and vocabularies learned by byte pair encoding, from Hugging Face's tokenizers.

    python bpe.py DATA        writes bpe.json beside this file; DATA has gpt2-bpe/ and wikitext-2/

The 10,000 hostile strings are made of `fragments` by a linear congruential generator, here and in tokenizer_helpers.h
alike; five runs of 1 MiB follow. A second reading of encoder.py (Radford et al. 2019) must agree on every short string.
"""

import functools
import hashlib
import json
import pathlib
import sys

import numpy
import regex
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

TEXTS = r"""a Z the hello antidisestablishmentarianism é ß Ж привет א שלום ع السلام अ क्षि ก็ 中 日本語 한 ﷺ ﬁ ǆ ª Ａ x q 7 2024 ٣ ² ½
Ⅷ 一 ① 3.14 1,000 ! ... ---  ?! @-@ <unk> <|endoftext|> $ € ₿ © _ # {} \ | " ’s “ '' ' 's 'S 't 're 've 'm 'll 'd don't '''d
Ġ Ċ ĠĠthe""".split() + [" the", "\ufffd"]
SPACES = [*" \t\n\v\f\r\x1c\x1f\x85\xa0\u1680\u180e\u2003\u2028\u2029\u202f\u205f\u3000\ufeff\u200b", "  ", "\r\n", "\n\n"]
MARKS = ["\u0301", "\u20dd", "\u093e", "\u200d", "\ufe0f", "😀", "👩\u200d👩\u200d👧", "🇫🇷", "👍🏽", "\0", "\x7f",
         "\ue000", "\ufffe", "\U0010ffff"]
BROKEN = [b"\xff", b"\x80", b"\xc3", b"\xc0\x80", b"\xe2\x82", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf0\x80",
          b"\xf4\x90\x80\x80", b"\xf8\x88", b"\xe2a", b"\xf1\x80\xe2\x82"]
FRAGMENTS = [text.encode() for text in TEXTS + SPACES + MARKS] + BROKEN
RUNS = [b"a", b" ", "\u0301".encode(), b"\xe2\x82", b"\r\n"]
PATTERN = regex.compile(r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""")


def hostile_strings(fragments):
    """String i: fewer than 12 fragments, one in eight of them repeated up to 40 times."""
    for i in range(10_000):
        state, string = i, b""

        def below(n):
            nonlocal state
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            return (state >> 33) % n

        for _ in range(below(12)):
            fragment = fragments[below(len(fragments))]
            string += fragment * (1 + below(40) if below(8) == 0 else 1)
        yield string


def written(byte, others=[b for b in range(256) if not (33 <= b <= 126 or 161 <= b <= 172 or b >= 174)]):
    return chr(256 + others.index(byte) if byte in others else byte)


def second_reading(folder):
    """encode and decode as encoder.py has them."""
    encoder = json.loads((folder / "encoder.json").read_text())
    lines = (folder / "vocab.bpe").read_text().split("\n")[1:-1]
    ranks = {tuple(line.split()): rank for rank, line in enumerate(lines)}
    characters = [written(byte) for byte in range(256)]

    @functools.cache
    def merge(piece):
        word = list(piece)
        while len(word) > 1:
            pair = min(zip(word, word[1:]), key=lambda pair: ranks.get(pair, float("inf")))
            if pair not in ranks:
                break
            joined, i = [], 0
            while i < len(word):
                if tuple(word[i : i + 2]) == pair:
                    joined.append(word[i] + word[i + 1])
                    i += 2
                else:
                    joined.append(word[i])
                    i += 1
            word = joined
        return [encoder[token] for token in word]

    return lambda text: [
        id for piece in regex.findall(PATTERN, text) for id in merge("".join(characters[b] for b in piece.encode()))
    ]


def digest_of_ids(sequences):
    """SHA-256 of ids as 32-bit integers; -1 ends each sequence."""
    return hashlib.sha256(b"".join(numpy.array([*ids, -1], dtype="<i4").tobytes() for ids in sequences)).hexdigest()


def digest_of_entries(text, size):
    """Of the vocabulary that is learned from `text`, each entry with a line end."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [text], trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    entries = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return hashlib.sha256("".join(entry + "\n" for entry, _ in entries).encode()).hexdigest()


def main(data):
    tokenizer = Tokenizer(
        models.BPE.from_file(str(data / "gpt2-bpe/encoder.json"), str(data / "gpt2-bpe/vocab.bpe")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    again = second_reading(data / "gpt2-bpe")

    strings = list(hostile_strings(FRAGMENTS))
    runs = [run * (2**20 // len(run)) for run in RUNS]
    texts = [string.decode(errors="replace") for string in strings + runs]
    ids = [tokenizer.encode(text).ids for text in texts]
    for text, expected in zip(texts[: len(strings)], ids):
        assert again(text) == expected, ascii(text)

    def article(part):
        return (data / f"wikitext-2/wiki.{part}.tokens").read_bytes().decode()

    golden = {
        "fragments": [fragment.hex() for fragment in FRAGMENTS],
        "runs": [run.hex() for run in RUNS],
        "hostile_bytes": hashlib.sha256(b"\n".join(strings)).hexdigest(),
        "hostile_text": hashlib.sha256("\n".join(texts).encode()).hexdigest(),
        "hostile_ids": digest_of_ids(ids),
        "hostile_entries_1000": digest_of_entries("\n".join(texts[: len(strings)]), 1000),
        "wikitext2_ids": digest_of_ids(tokenizer.encode(article(part)).ids for part in ("train", "valid", "test")),
        "wikitext2_entries_8256": digest_of_entries(article("train"), 8256),
    }
    pathlib.Path(__file__).with_name("bpe.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
