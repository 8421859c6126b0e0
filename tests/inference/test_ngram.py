import base64
import bz2
import codecs
import gzip
import hashlib
import itertools
import lzma
import math
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tiny_texts import line_log_probs

from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import ModelError, UsageError
from lmtrain.inference.mixture import interpolate
from lmtrain.inference.ngram import NGramModel

HAND_MADE = """\
\\data\\
ngram 1=5
ngram 2=4

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.3
-0.8\t</s>
-0.5\ta\t-0.2
-0.6\tb\t-0.4

\\2-grams:
-0.4\t<s> a
-0.7\ta b
-0.2\tb </s>
-0.3\ta a

\\end\\
"""
# HAND_MADE as KenLM's build_binary writes it.
BINARY = zlib.decompress(
    base64.b85decode(
        "c-qU&O)OBz$yLZGDJihh*U!#KO-##7%}LQq&d=3P&QD2INXswEO)OC;OD!tS%+FIW<zhg9274f}pAks>2Lg}?BUFY7OdhaD7Gs6"
        "dEDWdsBwkRbxYx3+6s%S-JNxn_adCEL2Hb!v=ljRn;s@Cvd(5@8Ce{Awe#L^Js$oBfU|=|QXx7Y``_7*6v4`*(?1Aikvt~*H=`;I"
        "asyRL}WwdNG7B)6E-rrdC_CsxTO)IiI2uwb*%v|t({}hmU$l{u9<`?!HYE}T5Yg3w+ZO33!48;0CB9S490RVi!RUr"
    )
)
VOCAB = Vocabulary(("a", "<eos>", "b", "<unk>"))

# Probabilities of words after contexts, each the tuple of its words; what is left is for shorter contexts.
SEEN = {
    (): {"<unk>": 0.1, "</s>": 0.2, "a": 0.4, "b": 0.2, "c": 0.1},
    ("<s>",): {"a": 0.5, "c": 0.2},
    ("a",): {"b": 0.6, "<unk>": 0.1},
    ("b",): {"</s>": 0.7, "b": 0.1},
    ("<unk>",): {"a": 0.3},
    ("<s>", "a"): {"b": 0.9},
    ("a", "b"): {"</s>": 0.5, "b": 0.2},
}


def probability(word: str, context: tuple[str, ...]) -> float:
    """Backing off, by its definition."""
    here = SEEN.get(context, {})
    if word in here or not context:
        return here[word]
    return backoff(context) * probability(word, context[1:])


def backoff(context: tuple[str, ...]) -> float:
    here = SEEN.get(context, {})
    left = sum(probability(word, context[1:]) for word in here)
    return (1 - sum(here.values())) / (1 - left)


def probabilities(words: Sequence[str]) -> list[float]:
    """Of the words of a line and its end."""
    known = ["<s>", *(word if word in SEEN[()] else "<unk>" for word in words), "</s>"]
    return [probability(known[i], tuple(known[max(0, i - 2) : i])) for i in range(1, len(known))]


def write_arpa(path: Path, seen: Mapping[tuple[str, ...], Mapping[str, float]] = SEEN) -> Path:
    grams = {(*context, word): p for context, here in seen.items() for word, p in here.items()}
    grams["<s>",] = 1e-99
    by_length = {n: [gram for gram in grams if len(gram) == n] for n in (1, 2, 3)}
    text = "\\data\\\n" + "".join(f"ngram {n}={len(by_length[n])}\n" for n in by_length)
    for n, found in by_length.items():
        text += f"\n\\{n}-grams:\n"
        for gram in found:
            tail = f"\t{math.log10(backoff(gram)):.9f}" if n < 3 else ""
            text += f"{math.log10(grams[gram]):.9f}\t{' '.join(gram)}{tail}\n"
    path.write_text(text + "\n\\end\\\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def arpa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arpa(tmp_path_factory.mktemp("ngram") / "model.arpa")


@pytest.fixture
def hand_made(tmp_path: Path) -> Path:
    path = tmp_path / "hand-made.arpa"
    path.write_text(HAND_MADE)
    return path


def test_backs_off_as_worked_by_hand(hand_made: Path) -> None:
    model = NGramModel(hand_made, VOCAB)
    log10 = [-0.4, -0.7, -0.4 - 1.0, -0.8]  # <s> a; a b; b with its backoff, <unk>; </s>
    assert model.order == 2
    result = line_log_probs(model, ["a", "b", "strange"])
    assert result.dtype == np.float64
    assert result == pytest.approx(np.array(log10) * math.log(10), rel=1e-6)


@given(st.lists(st.sampled_from(["a", "b", "c", "<unk>", "strange"]), max_size=8))
def test_agrees_with_the_definition(arpa: Path, words: list[str]) -> None:
    model = NGramModel(arpa, Vocabulary(("<unk>", "b", "c", "a", "<eos>")))
    assert model.num_unknown_words == 0
    assert np.exp(line_log_probs(model, words)) == pytest.approx(probabilities(words), rel=1e-5)


def distributions(model: NGramModel, vocab: Vocabulary) -> list[np.ndarray]:
    """Over the whole vocabulary, after each context of up to three words of it."""
    words = [word for word in vocab.words if word != "<eos>"]
    contexts = [context for n in range(4) for context in itertools.product(words, repeat=n)]
    starts = [vocab.encode_line(context)[:-1] for context in contexts]
    return [np.array([model.log_probs([*ids, i])[-1] for i in range(len(vocab))]) for ids in starts]


@pytest.mark.parametrize(
    ("words", "num_unknown"),
    [
        (("a", "b", "c", "<unk>", "<eos>"), 0),
        (("<eos>", "x", "a", "<unk>", "b", "c", "y"), 2),
        (
            ("<s>", "</s>", "a", "b", "c", "<unk>", "<eos>"),
            2,
        ),  # marks of the n-gram model, words to the neural
    ],
)
def test_is_a_distribution_over_the_vocabulary(arpa: Path, words: tuple[str, ...], num_unknown: int) -> None:
    vocab = Vocabulary(words)
    model = NGramModel(arpa, vocab)
    assert model.num_unknown_words == num_unknown
    neural = np.log(np.arange(1, len(vocab) + 1) / sum(range(1, len(vocab) + 1)))
    for log_probs in distributions(model, vocab):
        assert np.exp(log_probs).sum() == pytest.approx(1, abs=1e-6)
        assert np.exp(interpolate(neural, log_probs, 0.3)).sum() == pytest.approx(1, abs=1e-6)


def test_words_unknown_to_the_ngram_model_share_its_unknown_word(arpa: Path) -> None:
    vocab = Vocabulary(("x", "a", "b", "c", "<unk>", "y", "<eos>"))
    model = NGramModel(arpa, vocab)
    for word in ("x", "y", "<unk>", "strange"):
        first, second, _ = np.exp(line_log_probs(model, ["a", word]))
        assert first == pytest.approx(0.5)
        assert second == pytest.approx(probability("<unk>", ("<s>", "a")) / 3)


def test_the_probability_of_words_that_the_neural_model_does_not_know_is_lost(arpa: Path) -> None:
    vocab = Vocabulary(("a", "b", "<unk>", "<eos>"))
    model = NGramModel(arpa, vocab)
    assert model.num_unknown_words == 0
    sums = [np.exp(log_probs).sum() for log_probs in distributions(model, vocab)]
    assert sums[0] == pytest.approx(1 - probability("c", ("<s>",)))
    assert max(sums) < 1


@given(st.lists(st.sampled_from(["a", "b", "c", "strange"]), max_size=6))
def test_a_word_unknown_to_the_neural_model_is_unk_to_both(arpa: Path, words: list[str]) -> None:
    vocab = Vocabulary(("a", "b", "<unk>", "<eos>"))
    model = NGramModel(arpa, vocab)
    masked = [word if word in vocab else "<unk>" for word in words]
    assert line_log_probs(model, words).tolist() == line_log_probs(model, masked).tolist()


def test_without_an_unknown_word_it_leaves_next_to_nothing(
    hand_made: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = HAND_MADE.replace("1=5", "1=4").replace("-1.0\t<unk>\n", "")
    hand_made.write_text(text)
    log_probs = line_log_probs(NGramModel(hand_made, VOCAB), ["strange"])
    assert log_probs[0] / math.log(10) == pytest.approx(-100.3)
    assert capfd.readouterr().err == ""


def test_a_text_is_its_lines(hand_made: Path) -> None:
    model = NGramModel(hand_made, VOCAB)
    lines = [["a", "b"], [], ["b", "strange", "a"], ["a"]]
    ids = [i for line in lines for i in VOCAB.encode_line(line)]
    by_line = [p for line in lines for p in line_log_probs(model, line).tolist()]
    assert model.log_probs(ids).tolist() == by_line
    assert model.log_probs([]).shape == (0,)


@pytest.mark.parametrize(
    "content",
    [
        *(
            compress(HAND_MADE.encode())
            for compress in (gzip.compress, bz2.compress, lzma.compress, zstandard.compress)
        ),
        codecs.BOM_UTF8 + HAND_MADE.encode(),
        b"made by \xc3\xa9\n\n" + HAND_MADE.encode(),
        b"\n\n" + HAND_MADE.encode(),
        pytest.param(BINARY, marks=pytest.mark.skipif(sys.byteorder != "little", reason="of such machines")),
    ],
    ids=["gz", "bz2", "xz", "zst", "mark", "preamble", "empty lines", "binary"],
)
def test_reads_compressed_and_binary_files(hand_made: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    expected = line_log_probs(NGramModel(hand_made, VOCAB), ["a", "a", "strange", "b"])
    model = NGramModel(path, VOCAB)
    assert line_log_probs(model, ["a", "a", "strange", "b"]) == pytest.approx(expected, rel=1e-6)
    assert model.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "neither an ARPA file nor a KenLM binary"),
        (HAND_MADE.replace("a b", "a \u00e9").encode("latin-1"), r":\d+: not UTF-8 at byte \d+ of the line"),
        (HAND_MADE.encode("utf-16"), "UTF-16, not UTF-8"),
        (b"hello\n", "neither an ARPA file nor a KenLM binary"),
        (bytes(range(256)) * 20, "neither an ARPA file nor a KenLM binary"),
        (HAND_MADE.encode()[:-40], r"damaged.* \(byte \d+\)"),
        (HAND_MADE.replace("1=5", "1=999999999999999").encode(), "Cannot allocate memory"),
        (HAND_MADE.replace("-0.5\ta", "0.5\ta").encode(), "Positive log probability 0.5"),
        (HAND_MADE.replace("-0.8\t</s>\n", "").replace("1=5", "1=4").encode(), "is missing </s>"),
        (HAND_MADE.replace("a b", "a \x1b[31m").encode(), "damaged"),
        (BINARY[:200], "damaged"),
    ],
)
def test_a_file_that_is_no_ngram_model_is_refused_in_one_line(
    tmp_path: Path, content: bytes, complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.arpa"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=complaint) as caught:
        NGramModel(path, VOCAB)
    assert str(caught.value).startswith(f"{path}:")
    assert str(caught.value).isprintable()
    assert ".cc" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing\.arpa: No such file"):
        NGramModel(tmp_path / "missing.arpa", VOCAB)
    with pytest.raises(ModelError, match="Is a directory"):
        NGramModel(tmp_path, VOCAB)


def test_without_kenlm_it_says_what_to_install(hand_made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(UsageError, match=r"pip install 'lmtrain\[ngram\]'"):
        NGramModel(hand_made, VOCAB)
