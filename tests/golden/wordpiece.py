"""Ids of BERT's cased WordPiece, and vocabularies learned for it, from Hugging Face's tokenizers.

    python wordpiece.py DATA        writes wordpiece.json beside this file; DATA has wikitext-2/

Lines, and <unk> within them, are cut out of a text before the tokenizer sees it; [SEP] and [UNK] take their places. Where
the text has no [SEP] and no [UNK] of its own, this must be what the tokenizer makes of both as special tokens.

A vocabulary depends on the order of ids, by which ties are broken. Hugging Face's order of the characters with "##" is that
of a hash map with a random seed. Here they are given an order as special tokens: by code point, as are the characters without
"##" anyway. Then the vocabularies are compared entry by entry. As it comes, the order is another in every run,
and in 5 of 14 runs on WikiText-2 a tie made one of the 8,000 entries another one as well: "##min", not "##inster". main()
prints how many differ.

A second reading of tokenization.py (Devlin et al. 2018), with the Unicode 14 of Python 3.11, must agree on every string. As
in Hugging Face's tokenizers private use is dropped, and the 256 characters before U+2B920 are not Chinese. It alone judges the 119 characters that became punctuation or format characters, or ceased to be, after the Unicode of Hugging
Face's tables; the hostile strings are without them.
"""

import hashlib
import json
import pathlib
import random
import re
import sys
import unicodedata

from bpe import FRAGMENTS as BYTE_PAIR_FRAGMENTS
from bpe import digest_of_ids, hostile_strings
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

NORMALIZER = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False)
PRE_TOKENIZER = pre_tokenizers.BertPreTokenizer()
CHINESE = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
           (0x2B920, 0x2CEAF), (0x2F800, 0x2FA1F)]
CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
UNITS = ["##", "##a", "##ing", "a##b", "#", "[UNK]", "[SEP]", "[", "a<unk>b", "<un", "k>", "中文", "x中y", "don't", "@,@", "…",
         "«", "$", "^", "\u00ad", "\u200e", "\u061c", "\U0002b81f", "\U0002b820", "\U0002b91f", "\U0002b920", "\U000f0000",
         "\u0378", "\ufdd0", *(unit * n for unit in "xé" for n in (99, 100, 101))]


def second_reading(text):
    """Words as tokenization.py has them, from the rules."""
    words = ""
    for c in text:
        category = unicodedata.category(c)
        if c in "\t\n\r" or category[0] == "Z":
            words += " "
        elif category in ("Cc", "Cf", "Co") or c == "\ufffd":
            continue
        elif category[0] == "P" or c in "$+<=>^`|~" or any(low <= ord(c) <= high for low, high in CHINESE):
            words += f" {c} "
        else:
            words += c
    return [word for word in words.split(" ") if word]


def cut(word, vocabulary):
    ids, begin = [], 0
    while begin < len(word) and len(word) <= 100:
        for end in range(len(word), begin, -1):
            if (piece := "##"[: 2 * (begin > 0)] + word[begin:end]) in vocabulary:
                break
        else:
            return [vocabulary["[UNK]"]]
        ids.append(vocabulary[piece])
        begin = end
    return ids or [vocabulary["[UNK]"]]


def first_reading(text):
    return [word for word, _ in PRE_TOKENIZER.pre_tokenize_str(NORMALIZER.normalize_str(text))]


def parts(text):
    return [part for part in re.split("(\n|<unk>)", text) if part]


class WordPiece:
    def __init__(self, entries):
        self.vocabulary = {entry: id for id, entry in enumerate(entries)}
        self.tokenizer = self.as_published = None
        for name in ("tokenizer", "as_published"):
            tokenizer = Tokenizer(models.WordPiece(self.vocabulary, unk_token="[UNK]"))
            tokenizer.normalizer, tokenizer.pre_tokenizer = NORMALIZER, PRE_TOKENIZER
            setattr(self, name, tokenizer)
        self.as_published.add_special_tokens(["[UNK]", "[SEP]"])

    def encode(self, text):
        special = {"\n": "[SEP]", "<unk>": "[UNK]"}
        ids = [id for part in parts(text) for id in ([self.vocabulary[special[part]]] if part in special
                                                     else self.tokenizer.encode(part).ids)]
        if "[SEP]" not in text and "[UNK]" not in text:
            assert ids == self.as_published.encode(text.replace("\n", "[SEP]").replace("<unk>", "[UNK]")).ids, ascii(text)
        return ids

    def encode_again(self, text):
        special = {"\n": ["[SEP]"], "<unk>": ["[UNK]"]}
        return [id for part in parts(text) for word in special.get(part) or second_reading(part)
                for id in ([self.vocabulary[word]] if part in special else cut(word, self.vocabulary))]


def learned(text, size):
    """The entries that are learned from `text`."""
    segments = [part for part in parts(text) if part not in ("\n", "<unk>")]
    words = {word for segment in segments for word in first_reading(segment)}
    first = ["[UNK]", "[SEP]", *sorted({c for word in words for c in word}),
             *sorted({"##" + c for word in words for c in word[1:]})]

    def train(special_tokens):
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = NORMALIZER, PRE_TOKENIZER
        tokenizer.train_from_iterator(
            segments, trainers.WordPieceTrainer(vocab_size=size, special_tokens=special_tokens, show_progress=False))
        return [entry for entry, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]

    entries, as_it_comes = train(first), train(first[:2])
    print(f"{len(first)} entries to begin with; as it comes, {len(set(entries) ^ set(as_it_comes))} are in one of two only")
    return entries


def digest_of_entries(entries):
    return hashlib.sha256("".join(entry + "\n" for entry in entries).encode()).hexdigest()


def main(data):
    later = {c for c in CHARACTERS if first_reading(f"a{c}b") != second_reading(f"a{c}b")}
    assert len(later) == 119
    generator = random.Random(1)
    drawn = [chr(c) for c in (generator.randrange(generator.choice([0x3000, 0x10000, 0x30000, 0x110000])) for _ in range(400))
             if not 0xD800 <= c < 0xE000]
    fragments = BYTE_PAIR_FRAGMENTS + [text.encode() for text in UNITS + drawn if text not in later]

    strings = list(hostile_strings(fragments))
    texts = [string.decode(errors="replace") for string in strings]
    entries = learned("\n".join(texts[:5000]), 3000)
    hostile = WordPiece(entries)
    ids = [hostile.encode(text) for text in texts]
    for text, expected in zip(texts, ids):
        assert hostile.encode_again(text) == expected, ascii(text)

    every = WordPiece(["[UNK]", "[SEP]", "a", "b", "##b"])
    articles = [(data / f"wikitext-2/wiki.{part}.tokens").read_bytes().decode() for part in ("train", "valid", "test")]
    wikitext_entries = learned(articles[0], 8000)
    wikitext = WordPiece(wikitext_entries)
    golden = {
        "fragments": [fragment.hex() for fragment in fragments],
        "hostile_bytes": hashlib.sha256(b"\n".join(strings)).hexdigest(),
        "hostile_entries_3000": digest_of_entries(entries),
        "hostile_ids": digest_of_ids(ids),
        "character_ids": digest_of_ids(every.encode_again(f"a{c}b") for c in CHARACTERS),
        "wikitext2_entries_8000": digest_of_entries(wikitext_entries),
        "wikitext2_ids": digest_of_ids(wikitext.encode(article) for article in articles),
    }
    pathlib.Path(__file__).with_name("wordpiece.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
