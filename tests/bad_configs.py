"""Configs that must be refused: slips of the pen, misunderstandings, and files made to do harm."""

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from lmtrain.config import load_config
from lmtrain.errors import ConfigError

GOOD = """\
name: small
seed: 1
data:
  train: train.txt
  valid: valid.txt
  context: stream
  min_count: 1
  lowercase: false
model:
  cell: lstm
  embedding_dim: 32
  hidden_size: 32
  num_layers: 2
  tie_weights: false
  dropout: 0.3
  init_range: 0.1
train:
  max_steps: 50
  batch_size: 8
  bptt_len: 20
  loss_reduction: mean
  max_grad_norm: 5.0
  optimizer: {name: adam, lr: 0.01}
  schedule: {name: plateau}
evaluation: {every: 10, streams: 1}
snapshots: {every: 3, keep: 2}
logging: {every: 1}
"""
_NUMBERS = (
    *("seed", "min_count", "embedding_dim", "num_layers", "dropout", "init_range"),
    *("max_steps", "batch_size", "bptt_len", "max_grad_norm"),
)
_NO_NUMBERS = (
    *("twelve", "'12'", "[1]", "{a: 1}", "-1", "true", ".nan", "-.inf", "1e999", "9" * 400, "1_000"),
    *("12 13", "0x", "1:30", "2026-01-01", "!!int 12", "*a"),
)
_CRUMBS = (b"", b":", b"\n", b"  ", b"{", b"]", b"'", b"#", b"&a ", b"*a", b"!!int ", b"\t")
_TEN_MEGABYTES = 10_000_000


def bad_configs(
    recipes: Sequence[Path], folder: Path, count: int, seed: int = 0
) -> Iterator[tuple[str, bytes]]:
    """So many configs that do not hold, each with what is wrong with it: all kinds in turn.

    Args:
        recipes: Good ones, of which broken copies are made.
        folder: Where these are tried, to be sure that they do not hold.
        count: How many.
        seed: Of what is random.
    """
    draws = random.Random(seed)
    kinds = [_typos(), _numbers(), _extremes(), _texts(), _mutations(recipes, folder, draws)]
    found = 0
    while kinds and found < count:
        for kind in list(kinds):
            batch = list(islice(kind, 4))
            if not batch:
                kinds.remove(kind)
            for what, text in batch[: count - found]:
                found += 1
                yield what, text


def _typos() -> Iterator[tuple[str, bytes]]:
    lines = GOOD.splitlines(keepends=True)
    for number, line in enumerate(lines):
        before, after, key = lines[:number], lines[number + 1 :], line.split(":")[0]
        typo = line.replace(key, key[:-2] + key[-1] + key[-2] + "x")
        yield f"a typo in {key.strip()}", "".join([*before, typo, *after]).encode()
        if line.startswith("  "):
            yield f"{key.strip()} twice", "".join([*before, line, line, *after]).encode()


def _numbers() -> Iterator[tuple[str, bytes]]:
    for value in _NO_NUMBERS:
        for key in _NUMBERS:
            start = GOOD.index(f"{key}: ")
            end = GOOD.index("\n", start)
            yield f"{key}: {value[:20]}", f"{GOOD[:start]}{key}: {value}{GOOD[end:]}".encode()


def _extremes() -> Iterator[tuple[str, bytes]]:
    laughs = "a0: &a0 [ha, ha, ha]\n" + "".join(
        f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(30)
    )
    good = GOOD.encode()
    yield "a billion laughs", laughs.encode() + good
    yield (
        "a billion laughs in keys",
        b"".join(b"? &k%d [*k%d, *k%d]\n: 1\n" % (i + 1, i, i) for i in range(30)) + good,
    )
    yield "an alias of itself", good + b"more: &m [*m]\n"
    yield "merged mappings", b"base: &b {seed: 1}\n" + good.replace(b"seed: 1", b"<<: *b")
    yield "an anchor of a megabyte", b"&" + b"a" * 200_000 + b" " + good
    fillers = {"spaces": b" ", "newlines": b"\n", "letters": b"x", "brackets": b"[", "comments": b"# x\n"}
    for name, filler in fillers.items():
        yield f"ten megabytes of {name}", good + filler * (_TEN_MEGABYTES // len(filler))
    yield "as many brackets as a config can hold", good + b"[" * 250_000
    yield "as many letters as a config can hold", good + b"x" * 250_000
    yield "ten thousand keys", good + b"".join(b"key%d: 1\n" % i for i in range(10_001))
    yield (
        "twenty thousand unknown keys in one section",
        good.replace(b"model:\n", b"model:\n" + b"".join(b"  k%d: 1\n" % i for i in range(9_000))),
    )
    yield "a list of twenty thousand", good.replace(b"train: train.txt", b"train: [" + b"a, " * 20_000 + b"]")
    yield (
        "a list of nine thousand wrong things",
        good.replace(b"train: train.txt", b"train: [" + b"1, " * 9_000 + b"]"),
    )
    for depth in (17, 100, 1_000, 50_000):
        yield f"{depth:,} brackets deep", good + b"more: " + b"[" * depth + b"]" * depth
        yield f"{depth:,} braces deep", good + b"more: " + b"{a: " * depth + b"1" + b"}" * depth
        yield f"{depth:,} dashes deep", good + b"more:\n " + b"- " * depth + b"1\n"
    yield "500 sections deep", good + b"".join(b" " * i + b"a:\n" for i in range(500))
    for number in (0, 1, 7, 8, 27, 127, 0x85, 0x9B, 0x200E, 0x2028, 0xFEFF, 0xFFFE):
        yield f"U+{number:04X} in a key", good.replace(b"seed", f"se{chr(number)}ed".encode())
        if number not in (0x85, 0x2028):  # line breaks to YAML 1.1
            yield f"U+{number:04X} in a number", good.replace(b"seed: 1", f"seed: 1{chr(number)}".encode())
    yield "a tab as indentation", good.replace(b"  train:", b"\ttrain:")
    yield "half a character", good + b"# \xc3"
    yield "a surrogate", good.replace(b"small", b"\xed\xa0\x80")
    yield "Latin-1", good.replace(b"small", b"caf\xe9")
    for encoding in ("utf-16", "utf-32-le", "utf-16-be"):
        yield encoding, GOOD.encode(encoding)
    yield "random bytes", random.Random(0).randbytes(10_000)


def _texts() -> Iterator[tuple[str, bytes]]:
    for tag in (
        "!!python/object/apply:os.system ['touch marker']",
        "!!python/object/new:os.system ['touch marker']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!binary aGk=",
        "!!set {a}",
        "!!timestamp 2026-01-01",
        "!!float 1",
        "!include /etc/passwd",
        "!ruby/object:Gem::Installer {}",
        "!<tag:yaml.org,2002:python/tuple> [1]",
    ):
        yield f"the tag {tag[:30]}", GOOD.replace("seed: 1", f"seed: {tag}").encode()
        yield f"the tag {tag[:30]} at the top", f"{tag}\n".encode()
    for what, old, new in (
        ("both lengths", "max_steps: 50", "max_steps: 50\n  epochs: 3"),
        ("no length", "  max_steps: 50\n", ""),
        ("ties that do not fit", "embedding_dim: 32", "embedding_dim: 31\n  tie_weights: true"),
        ("relu in an lstm", "cell: lstm", "cell: lstm\n  activation: relu"),
        ("one layer and dropout between", "num_layers: 2", "num_layers: 1\n  dropout: {layers: 0.5}"),
        ("a forget gate in a gru", "cell: lstm", "cell: gru\n  forget_gate_bias: 1.0"),
        ("a frozen embedding", "cell: lstm", "cell: lstm\n  freeze_embedding: true"),
        ("nesterov alone", "{name: adam, lr: 0.01}", "{name: sgd, nesterov: true}"),
        ("momentum in adam", "{name: adam, lr: 0.01}", "{name: adam, momentum: 0.9}"),
        ("an optimizer without a name", "{name: adam, lr: 0.01}", "{lr: 0.01}"),
        ("an unknown optimizer", "adam", "lbfgs"),
        ("an unknown schedule", "plateau", "one-cycle"),
        ("a schedule without its keys", "plateau", "step_decay"),
        ("an optimizer as text", "{name: adam, lr: 0.01}", "adam"),
        ("an unknown cell", "lstm", "transformer"),
        ("an unknown context", "stream", "page"),
        ("no training text", "  train: train.txt\n", ""),
        ("an empty path", "train.txt", "''"),
        ("no list of paths", "train.txt", "[]"),
        ("a path that is a mapping", "train.txt", "{a: b}"),
        ("a NUL in a path", "train.txt", '"a\\0b"'),
        ("a line break in a path", "train.txt", '"a\\nb"'),
        ("a name of dots", "small", ".."),
        ("a name with a slash", "small", "a/b"),
        ("an absolute name", "small", "/etc"),
        ("a name that is an option", "small", "--run"),
        ("a name of a thousand letters", "small", "x" * 1000),
        ("a name that is a number", "small", "12"),
        ("no name", "name: small\n", ""),
        ("yes for true", "lowercase: false", "lowercase: yes"),
        ("one for true", "lowercase: false", "lowercase: 1"),
        ("an interval of half a step", "every: 10", "every: 0.5"),
        ("an interval in words", "every: 10", "every: epochs"),
        ("no snapshot kept", "keep: 2", "keep: 0"),
        ("certain dropout", "dropout: 0.3", "dropout: 1.0"),
        ("dropout in places unknown", "dropout: 0.3", "dropout: {between: 0.3}"),
        ("a section that is a list", "evaluation: {every: 10, streams: 1}", "evaluation: [1]"),
        ("a section that is a number", "logging: {every: 1}", "logging: 1"),
        ("an unclosed brace", "{every: 1}", "{every: 1"),
        ("an unclosed quote", "small", "'small"),
        ("a stray colon", "cell: lstm", "cell: lstm: gru"),
        ("a wrong indentation", "  cell", "   cell"),
        ("a key that is a number", "seed: 1", "seed: 1\n1: 2"),
        ("a key that is a list", "seed: 1", "seed: 1\n? [a, b]\n: 2"),
        ("a key that is null", "seed: 1", "seed: 1\n~: 2"),
        ("a key of a hundred kilobytes", "seed: 1", f"seed: 1\n? {'k' * 100_000}\n: 2"),
        ("a second document", "seed: 1", "seed: 1\n---\nseed: 2"),
    ):
        changed = GOOD.replace(old, new, 1)
        assert changed != GOOD, what
        yield what, changed.encode()
    for what, text in (
        ("nothing", ""),
        ("a comment", "# nothing\n"),
        ("null", "null"),
        ("a list", "- name: small\n"),
        ("a word", "small"),
        ("a quote", "'"),
        ("a directive", "%YAML 9.9\n---\n" + GOOD),
        ("an unknown directive", "%TAG ! tag:example.com,2000:\n---\n!a {}\n"),
        ("three dots", "...\n...\n"),
        ("JSON that is cut off", '{"name": "small", "data": '),
        ("TOML", '[data]\ntrain = "train.txt"\n'),
    ):
        yield what, text.encode()


def _mutations(recipes: Sequence[Path], folder: Path, draws: random.Random) -> Iterator[tuple[str, bytes]]:
    """Recipes with random changes, of those that do not hold; endless."""
    trial = folder / "trial.yaml"
    while True:
        recipe = draws.choice(recipes)
        data = bytearray(recipe.read_bytes())
        for _ in range(draws.randint(1, 8)):
            at, span = draws.randrange(len(data)), draws.randint(0, 12)
            data[at : at + span] = draws.choice((*_CRUMBS, draws.randbytes(2)))
        trial.write_bytes(data)
        try:
            load_config(trial)
        except ConfigError:
            yield f"{recipe.name} with random changes", bytes(data)
