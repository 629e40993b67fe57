"""Writes the golden files beside it with huggingface/tokenizers.

    pip install tokenizers==0.23.3
    python golden.py [lines] [folder]

For each kind of tokenizer: KIND.json, the tokenizer.json that the library
saves, and KIND.jsonl, lines of [text, ids, ids with special tokens as text].
"""

import json
import os
import random
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P
from tokenizers import processors, trainers

LINES = int(sys.argv[1]) if len(sys.argv) > 1 else 120
OUT = sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(os.path.abspath(__file__))

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

CORPUS = """The fox and the hound went there and then returned; they're the same, aren't they? It's 1999, 2001 or 12345.
We'll see what the others have to say about it, and I'd rather not. def main(args): return 0x1F + 3.14159
Straße, naïve café, Привет мир, こんにちは世界, 你好，世界, مرحبا, नमस्ते, שלום. 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ½ ² Ⅷ
    indented code\n\n\nmore lines\t\ttabs   and   spaces   .  THE END. Don't SHOUT! WE'LL SEE.
""" * 3


def bytelevel(regex=True, prefix=False):
    return P.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def split(regex, behavior="isolated", invert=False):
    return P.Split(Regex(regex), behavior, invert)


def trained(pre, normalizer=None, special=(), merges=160, **bpe):
    t = Tokenizer(models.BPE(**bpe))
    t.pre_tokenizer = pre
    if normalizer:
        t.normalizer = normalizer
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + len(special) + merges,
        special_tokens=list(special),
        initial_alphabet=P.ByteLevel.alphabet(),
        show_progress=False,
    )
    t.train_from_iterator(CORPUS.splitlines(keepends=True), trainer)
    return t


def llama3():
    t = trained(P.Sequence([split(LLAMA3), bytelevel(False)]), ignore_merges=True)
    t.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    t.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                special_tokens=[("<|begin_of_text|>", t.token_to_id("<|begin_of_text|>"))],
            ),
        ]
    )
    return t


def added():
    t = trained(bytelevel(), N.Sequence([N.NFKC(), N.Lowercase()]), special=["<|endoftext|>", "</s>"])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("<X>", single_word=True, normalized=True)])
    t.add_tokens(
        [
            AddedToken("<right>", rstrip=True, normalized=False),
            AddedToken("Fox", single_word=True),
            AddedToken("foxes", normalized=True),
            AddedToken("   ", normalized=False),
            AddedToken("<both>", lstrip=True, rstrip=True, normalized=True),
        ]
    )
    return t


def unknown(fuse):
    vocab = {"<unk>": 0, "a": 1, "b": 2, "c": 3, "Ġ": 4, "ab": 5, "Ġa": 6, "bc": 7, "abc": 8, "Ã": 9}
    t = Tokenizer(models.BPE(vocab=vocab, merges=[("a", "b"), ("Ġ", "a"), ("b", "c"), ("ab", "c")], unk_token="<unk>" if fuse is not None else None, fuse_unk=bool(fuse)))
    t.pre_tokenizer = bytelevel()
    t.decoder = decoders.ByteLevel()
    return t


KINDS = {
    "gpt2": lambda: trained(bytelevel(), special=["<|endoftext|>"]),
    "prefix": lambda: trained(P.Sequence([P.Digits(individual_digits=False), bytelevel(prefix=True)]), special=["<|endoftext|>", "<s>"]),
    "smollm": lambda: trained(P.Sequence([P.Digits(individual_digits=True), bytelevel()]), special=["<|endoftext|>", "<|im_start|>", "<|im_end|>"]),
    "llama3": llama3,
    "qwen2": lambda: trained(P.Sequence([split(QWEN2), bytelevel(False)]), N.NFC(), special=["<|endoftext|>", "<|im_start|>"]),
    "deepseek": lambda: trained(
        P.Sequence(
            [
                split(r"[\r\n]"),
                split(r"\s?\p{L}+"),
                split(r"\s?\p{P}+"),
                split(r"[一-龥ࠀ-一가-퟿]+"),
                P.Digits(individual_digits=True),
                bytelevel(False),
            ]
        ),
        special=["<|endoftext|>"],
    ),
    "falcon": lambda: trained(
        P.Sequence([P.Punctuation("contiguous"), bytelevel(), P.Digits(individual_digits=False), split("[0-9][0-9][0-9]")]),
        special=["<|endoftext|>"],
    ),
    "added": added,
    "removed": lambda: trained(P.Sequence([P.Split(" ", "removed"), split("[.,]", "merged_with_next"), bytelevel(False)])),
    "merged": lambda: trained(P.Sequence([split(r"\p{Lu}", "merged_with_previous"), split(r"[a-m]", "contiguous"), bytelevel(False)])),
    "inverted": lambda: trained(
        P.Sequence([split(GPT2), split(r"[aeiou]+", "merged_with_next", True), bytelevel(False)]),
        N.Sequence([N.Replace("the", "THE"), N.Prepend("_"), N.Strip(), N.NFD()]),
        special=["<s>", "</s>"],
    ),
    "unk": lambda: unknown(False),
    "unk-fused": lambda: unknown(True),
    "unk-none": lambda: unknown(None),
}

FIXED = [
    "", " ", "  ", "\n", " \n ", "\t\tx", "a", " a", "a ", "  a  b", "Hello, world!", "I'm you're we'll they've he'd it's don't",
    "I'M YOU'RE WE'LL THEY'VE HE'D IT'S DON'T", "it’s", "'s't're'", "''''", "don'ſ x'ſ", "'K", "1 12 123 1234 12345 1,234,567.89", "²½Ⅷ①〇٣४",
    "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|", "<|endoftext|><|im_start|>user\nhi<|im_end|>", "<|begin_of_text|>x<|eot_id|>",
    "a  <mask>  b", "a  <right>  b", "a  <both>  b <both><both>", "<right> <mask> <right><mask>", "fox Fox FOX foxes Foxes afox fox_ fox1 éfox fox-fox ＦＯＸ",
    "<X> a<X> <X>b -<X>- <x>", "a   b      c", "</s><s></s>", "ABC abc AbC aBc", "abcabcabab  ab c", "ÀÉÎõü e\u0301 o\u0308\u0304 \u0344 ﬁ ﷺ Å Å", "İstanbul ISTANBUL ẞß",
    "\u0915\u093c \u0958 \u09c7\u09be 각 \u1100\u1161\u11a8", "e" + "\u0301" * 40 + "x", "a\u0323\u0307" * 20, "\u0300\u0301 x", "\u200b\u200d\ufeff\u00ad", "👩‍👩‍👧 🇩🇪 👍🏽",
    "x\r\ny\r\n\r\n z", " \r\n \n\r ", "\x00\x01\x7f\x80\x85\xa0", "\u2028\u2029\u3000 \u1680x", "def f(x):\n    return x**2  # sq\n\n\n", "a.b,c;d:e!f?g", "...,,,!!! --> <-- ===",
    "http://ex.org/a?b=c&d=%20", "\\\"quoted\\\" `x`", "ααα βββ ΓΓΓ", "Привет, МИР", "你好世界hello世界", "مرحبا ١٢٣", "𝔘𝔫𝔦 𐐷 \U0010ffff \ud7ff \ue000", "the THE The then", "_the_ the. .the", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + "the" * 40,
]

ALPHABETS = [
    "abcdetfox ABT'.,0123 \n\r\t",
    "ab'sStTreEvVmMlLdDſK\u2019 \n",
    " \t\n\r\x0b\x0c\x85\xa0\u1680\u2003\u2028\u3000\u200bab.1",
    "0123456789٠١٢²³½ⅧⅨ①〇 .,a",
    "<|>/sXmaskrightbothendoftext_ fox ",
    "e\u0301\u0308\u0323\u0327o\u0304ﬁÅ각\u1100\u1161\u11a8\u0915\u093c a",
    "你好世界こんにちは안녕，。 a1",
    "abc\u00c3\u00e9\u00e0 ",
]


def random_line(rng):
    n = rng.randrange(1, 30)
    if rng.random() < 0.2:
        out = []
        while len(out) < n:
            c = rng.randrange(0x110000 if rng.random() < 0.3 else 0x3000)
            # Unassigned code points may be letters in one side's Unicode version.
            if unicodedata.category(chr(c)) not in ("Cs", "Cn"):
                out.append(chr(c))
        return "".join(out)
    if rng.random() < 0.3:
        words = ["the", "fox", " ", "  ", "\n", "<|endoftext|>", "<mask>", "<right>", "<both>", "<X>", "</s>", "Fox", "'ll", "12", "é", "<|im_start|>", "<|eot_id|>", "."]
        return "".join(rng.choice(words) for _ in range(n // 2 + 1))
    a = rng.choice(ALPHABETS)
    return "".join(rng.choice(a) for _ in range(n))


def main():
    os.makedirs(OUT, exist_ok=True)
    rng = random.Random(20240607)
    texts = FIXED + [random_line(rng) for _ in range(LINES)]
    for kind, make in KINDS.items():
        t = make()
        t.save(os.path.join(OUT, kind + ".json"))
        with open(os.path.join(OUT, kind + ".jsonl"), "w") as f:
            for text in texts:
                t.encode_special_tokens = False
                ids = t.encode(text).ids
                t.encode_special_tokens = True
                plain = t.encode(text).ids
                f.write(json.dumps([text, ids, plain], separators=(",", ":")) + "\n")


main()
