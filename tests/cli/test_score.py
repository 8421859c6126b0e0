"""``lmtrain score``: each form read back by a parser written from its description alone."""

import csv
import gzip
import hashlib
import html
import io
import json
import lzma
import math
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from program import Outcome, Trained, lmtrain

from lmtrain import __version__
from lmtrain.run.trained import load_model

SENTENCES = "the old cat\nunicorn\n\nthe dog sat and slept often\n"


def score(trained: Trained, *options: object, text: str = SENTENCES) -> Outcome:
    outcome = lmtrain("score", "runs/tiny", "-", *options, folder=trained.folder, stdin=text.encode())
    assert outcome.code == 0, outcome.err
    return outcome


def of_lines(outcome: Outcome) -> str:
    """What comes out, but for the foot of a page, which names the text."""
    return re.sub("<footer>.*</footer>", "", outcome.out, flags=re.DOTALL)


@dataclass
class Srilm:
    """What SRILM's scripts (compute-best-mix, ppl-from-log, add-ppls) read out of ``-debug 2`` output."""

    words: list[tuple[str, float, float]]
    """Each word with its probability and the base-10 logarithm of it."""
    sentences: list[tuple[int, int, int, float, float, float]]
    """Sentences, words, OOVs, logprob, ppl and ppl1 of each statistic, the last one of the file."""
    file: str


def parse_srilm(text: str) -> Srilm:
    words, sentences, file = [], [], ""
    counts = (0, 0, 0)
    for line in text.splitlines():
        fields = line.split()
        if fields[:1] == ["p("]:
            # As in gawk: the probability follows the bracket of the n-gram order.
            match = re.fullmatch(
                r"\tp\( (\S+) \| (\S+) (\.\.\.)?\) \t= \[(\d+)gram\] (\S+) \[ (\S+) \]", line
            )
            assert match, line
            assert fields[9] == match[6]  # compute-best-mix takes the tenth field
            words.append((match[1], float(match[5]), float(match[6])))
        elif fields[1:2] == ["sentences,"] or line.startswith("file "):
            match = re.fullmatch(r"(?:file (.*): )?(\d+) sentences, (\d+) words, (\d+) OOVs", line)
            assert match, line
            file = match[1] or file
            counts = (int(match[2]), int(match[3]), int(match[4]))
        elif fields[1:2] == ["zeroprobs,"]:
            assert fields[2::2] == ["logprob=", "ppl=", "ppl1="]
            logprob, ppl, ppl1 = (math.nan if x == "undefined" else float(x) for x in fields[3::2])
            sentences.append((*counts, logprob, ppl, ppl1))
    return Srilm(words, sentences, file)


def parse_lm_zoo(text: str) -> dict[tuple[int, int], tuple[str, float]]:
    """By sentence and token id, as pandas.read_csv(sep="\\t") would, quotes being no quotes."""
    rows = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    found = {(int(r["sentence_id"]), int(r["token_id"])): (r["token"], float(r["surprisal"])) for r in rows}
    assert rows.fieldnames is not None
    assert rows.fieldnames[:4] == ["sentence_id", "token_id", "token", "surprisal"]
    return found


def test_tsv(trained: Trained) -> None:
    outcome = score(trained)
    found = parse_lm_zoo(outcome.out)
    assert [(key, token) for key, (token, _) in found.items()] == [
        *(((1, i), t) for i, t in enumerate(["the", "old", "cat", "<eos>"], 1)),
        *(((2, i), t) for i, t in enumerate(["<unk>", "<eos>"], 1)),
        ((3, 1), "<eos>"),
        *(((4, i), t) for i, t in enumerate(["the", "dog", "sat", "and", "slept", "often", "<eos>"], 1)),
    ]
    assert outcome.out.startswith("sentence_id\ttoken_id\ttoken\tsurprisal\n1\t1\tthe\t")
    told = "1 of 14 tokens are scored as <unk>, which stands for all unknown words\n  line 2: unicorn\n"
    signature, rest = outcome.err.split("\n", 1)
    assert signature.startswith("signature: surprisal|log:2|")
    assert rest == told


def test_extended_tsv(trained: Trained) -> None:
    rows = list(csv.DictReader(io.StringIO(score(trained, "--extended").out), delimiter="\t"))
    assert list(rows[0]) == ["sentence_id", "token_id", "token", "surprisal", "is_unk", "entropy", "rank"]
    assert [row["token"] for row in rows if row["is_unk"] == "1"] == ["unicorn"]  # as in the text
    assert all(0 < float(row["entropy"]) <= math.log2(11) for row in rows)
    assert all(1 <= int(row["rank"]) <= 11 for row in rows)
    plain = list(csv.DictReader(io.StringIO(score(trained).out), delimiter="\t"))
    near = [float(row["surprisal"]) for row in plain]
    assert [float(row["surprisal"]) for row in rows] == pytest.approx(near, rel=1e-5)


def test_json(trained: Trained) -> None:
    lines = [json.loads(line) for line in score(trained, "--format", "json").out.splitlines()]
    assert [line["sentence_id"] for line in lines] == [1, 2, 3, 4]
    assert list(lines[0]) == ["sentence_id", "logprob", "num_tokens", "tokens", "signature"]
    assert [token["token"] for token in lines[0]["tokens"]] == ["the", "old", "cat", "<eos>"]
    assert lines[1]["tokens"][0]["is_unk"] is True
    assert list(lines[0]["tokens"][0]) == ["token", "surprisal", "is_unk"]
    for line in lines:
        bits = sum(token["surprisal"] for token in line["tokens"])
        assert line["logprob"] == pytest.approx(-bits * math.log(2), abs=1e-5)
        assert line["num_tokens"] == len(line["tokens"])
    extended = json.loads(score(trained, "--format", "json", "--extended").out.splitlines()[0])
    assert list(extended["tokens"][0]) == ["token", "surprisal", "is_unk", "entropy", "rank"]
    guessed = json.loads(score(trained, "--format", "json", "--top", 2).out.splitlines()[0])
    assert {key: value for key, value in guessed["tokens"][0].items() if key != "guesses"} == extended[
        "tokens"
    ][0]
    assert [list(guess) for guess in guessed["tokens"][0]["guesses"]] == [["token", "surprisal"]] * 2


def test_guesses(trained: Trained) -> None:
    text = "the old cat\n"
    rows = list(csv.DictReader(io.StringIO(score(trained, "--top", 3, text=text).out), delimiter="\t"))
    assert list(rows[0])[4:7] == ["is_unk", "entropy", "rank"]
    assert list(rows[0])[7:] == [name for i in (1, 2, 3) for name in (f"guess_{i}", f"guess_{i}_surprisal")]
    for row in rows:
        costs = [float(row[f"guess_{i}_surprisal"]) for i in (1, 2, 3)]
        assert costs == sorted(costs)
        if int(row["rank"]) <= 3:
            assert row[f"guess_{row['rank']}"] == row["token"]
            assert row[f"guess_{row['rank']}_surprisal"] == row["surprisal"]
    page = score(trained, "--top", 3, "--format", "html", text=text).out
    first = ", ".join(
        f"{'↵' if (word := rows[0][f'guess_{i}']) == '<eos>' else word} "
        f"{float(rows[0][f'guess_{i}_surprisal']):.1f}"
        for i in (1, 2, 3)
    )
    assert html.escape(first) in page
    steps = [f"runs/tiny/snapshots/step-{step:08}" for step in (9, 25)]
    both = lmtrain("score", *steps, "-", "--top", 1, folder=trained.folder, stdin=text.encode())
    columns = both.out.split("\n")[0].split("\t")
    assert columns[7:9] == ["guess_1_step-00000009", "guess_1_surprisal_step-00000009"]
    assert len(both.out.split("\n")[1].split("\t")) == len(columns)


def test_srilm(trained: Trained) -> None:
    outcome = score(trained, "--format", "srilm")
    found = parse_srilm(outcome.out)
    words = [word for word, _, _ in found.words]
    assert words == [
        "the",
        "old",
        "cat",
        "</s>",
        "<unk>",
        "</s>",
        "</s>",
        "the",
        "dog",
        "sat",
        "and",
        "slept",
        "often",
        "</s>",
    ]
    for _, probability, log10 in found.words:
        assert math.log10(probability) == pytest.approx(log10, rel=1e-4, abs=1e-5)
    assert [sentence[:3] for sentence in found.sentences] == [
        *[(1, n, 0) for n in (3, 1, 0, 6)],
        (4, 10, 0),
    ]
    assert found.file == "-"
    of_all = found.sentences[-1]
    assert of_all[3] == pytest.approx(sum(log10 for _, _, log10 in found.words), rel=1e-4)
    assert of_all[4] == pytest.approx(10 ** (-of_all[3] / 14), rel=1e-4)
    assert of_all[5] == pytest.approx(10 ** (-of_all[3] / 10), rel=1e-4)
    assert outcome.out.splitlines()[:2] == [
        "the old cat",
        f"\tp( the | <s> ) \t= [2gram] {found.words[0][1]:.7g} [ {found.words[0][2]:.7g} ]",
    ]
    assert outcome.out.count("ppl1= undefined") == 1  # of the empty line
    assert outcome.out.splitlines()[2].startswith("\tp( old | the ...) \t= [3gram] ")


def test_kaldi(trained: Trained) -> None:
    text = "utt-1 the old cat\nutt-2\nUTT-3   unicorn\n"
    lines = score(trained, "--format", "kaldi", text=text).out.splitlines()
    assert [line.split()[0] for line in lines] == ["utt-1", "utt-2", "UTT-3"]
    rows = [
        json.loads(line)
        for line in score(trained, "--format", "json", text="the old cat\n\nunicorn\n").out.splitlines()
    ]
    assert [float(line.split()[1]) for line in lines] == [-row["logprob"] for row in rows]


def test_kaldi_with_scores_among_the_words(trained: Trained) -> None:
    told = "a number follows each id, and was scored as a word"
    assert told in score(trained, "--format", "kaldi", text="a-1 -7.5 the cat\na-2 -8 cat\n").err
    for text in ("a-1 the 5 cat\na-2 5 cat\n", "a-1 5\na-2\n"):
        assert told not in score(trained, "--format", "kaldi", text=text).err


def test_marks_of_sentences_are_not_named_as_unknown(trained: Trained) -> None:
    err = score(trained, text="<s> the unicorn </s>\n").err
    assert "line 1: unicorn\n" in err


def test_kaldi_of_a_plain_text(trained: Trained) -> None:
    outcome = score(trained, "--format", "kaldi", text="the old cat\nold cat\n")
    assert outcome.code == 0
    assert (
        "every line begins with a word of the model; first words are taken for utterance ids" in outcome.err
    )
    once = "the old cat\nutt-2 cat\n"
    assert "taken for" not in score(trained, "--format", "kaldi", text=once).err
    twice = score(trained, "--format", "kaldi", text=f"{once}the cat\n")
    assert "standard input:3: begins with 'the', as a line before does; first words are" in twice.err
    again = "utt old cat\nutt cat\n"  # hypotheses of one utterance, it may be
    assert "taken for" not in score(trained, "--format", "kaldi", text=again).err


def test_nbest(trained: Trained) -> None:
    text = "-120.5 -8.25 3 the old cat\n-121 -7 0\n-1e2 -9 2 unicorn sat\n"
    outcome = score(trained, "--format", "nbest", text=text)
    fields = [line.split() for line in outcome.out.splitlines()]
    assert [[line[0], *line[2:]] for line in fields] == [
        ["-120.5", "3", "the", "old", "cat"],
        ["-121", "0"],
        ["-1e2", "2", "unicorn", "sat"],
    ]
    rows = score(trained, "--format", "json", text="the old cat\n\nunicorn sat\n").out.splitlines()
    natural = [json.loads(row)["logprob"] for row in rows]
    assert [float(line[1]) * math.log(10) for line in fields] == pytest.approx(natural, abs=1e-5)


def test_nbest_lists_as_srilm_writes_them(trained: Trained) -> None:
    """With sentence tags, which are no words, and a count that leaves out a pause."""
    text = "-1 -2 3 <s> the old cat </s>\n-1 -2 3 the old cat\n-1 -2 1 -pau- cat\n-3 -4 0 <s> </s>\n-3 -4 0\n"
    lines = score(trained, "--format", "nbest", text=text).out.splitlines()
    assert [" ".join(line.split()[2:]) for line in lines] == [
        " ".join(line.split()[2:]) for line in text.splitlines()
    ]
    scores = [float(line.split()[1]) for line in lines]
    assert scores[0] == pytest.approx(scores[1], abs=2e-6)
    assert scores[3] == pytest.approx(scores[4], abs=2e-6)


def test_a_no_break_space_is_part_of_a_word(trained: Trained) -> None:
    """As everywhere else: ASCII whitespace alone separates words."""
    word = "10\u00a0000\u2028\x1c"
    kaldi = score(trained, "--format", "kaldi", text=f"utt\u00a01 {word} cat\n")
    assert kaldi.out.startswith("utt\u00a01 ")
    assert "1 of 3 tokens" in kaldi.err
    nbest = score(trained, "--format", "nbest", text=f"-1 -2 2 {word} cat\n")
    assert nbest.out.endswith(f" 2 {word} cat\n")
    assert "1 of 3 tokens" in nbest.err
    assert float(nbest.out.split()[1]) * -math.log(10) == pytest.approx(
        float(kaldi.out.split(" ")[1]), abs=1e-5
    )


def test_nbest_words_are_kept_as_they_are(trained: Trained, tmp_path: Path) -> None:
    """Even where the model reads them in another form, such as lower case."""
    options = ("--config", "config.yaml", "--run-dir", tmp_path / "run", "--set", "data.lowercase=true")
    assert lmtrain("train", *options, "--set", "train.epochs=1", folder=trained.folder).code == 0
    outcome = lmtrain("score", tmp_path / "run", "-", "--format", "nbest", stdin=b"-1 -2 2 The CAT\n")
    assert outcome.out.endswith(" 2 The CAT\n")
    (signature,) = outcome.err.splitlines()  # and no word of unknown ones: it knows both
    assert signature.startswith("signature: surprisal|log:10|tok:ws+lower|")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--extended",), "the {} cat\n"),
        (("--format", "json"), "the {} cat\n"),
        (("--format", "kaldi"), "{} the cat\n"),
        (("--format", "nbest"), "-1 -2 3 the {} cat\n"),
    ],
)
def test_words_and_ids_come_out_as_they_went_in(
    options: tuple[str, ...], text: str, trained: Trained
) -> None:
    word = "\x1b[1mcat\x1b[0m\u200b\u202e"
    out = score(trained, *options, text=text.format(word)).out
    assert (word if "json" not in options else json.dumps(word, ensure_ascii=False)[1:-1]) in out


def test_all_forms_say_the_same(trained: Trained) -> None:
    by_line = {
        "tsv": [0.0] * 4,
        "json": [json.loads(line)["logprob"] for line in score(trained, "--format", "json").out.splitlines()],
    }
    for (sentence, _), (_, bits) in parse_lm_zoo(score(trained).out).items():
        by_line["tsv"][sentence - 1] -= bits * math.log(2)
    srilm = parse_srilm(score(trained, "--format", "srilm").out)
    by_line["srilm"] = [sentence[3] * math.log(10) for sentence in srilm.sentences[:-1]]
    numbered = "".join(f"{i} {line}\n" for i, line in enumerate(SENTENCES.splitlines()))
    kaldi = score(trained, "--format", "kaldi", text=numbered).out.splitlines()
    by_line["kaldi"] = [-float(line.split()[1]) for line in kaldi]
    for name, values in by_line.items():
        assert values == pytest.approx(by_line["json"], rel=1e-6), name


@pytest.mark.parametrize("context", ["line", "stream"])
def test_the_sum_is_that_of_eval(trained: Trained, context: str) -> None:
    arguments = ("runs/tiny", "--data", "test.txt", "--context", context, "--json")
    found = json.loads(lmtrain("eval", *arguments, folder=trained.folder).out)
    scored = lmtrain("score", "runs/tiny", "test.txt", "--context", context, folder=trained.folder)
    bits = [value for _, value in parse_lm_zoo(scored.out).values()]
    assert sum(bits) * math.log(2) == pytest.approx(found["nll_nats"], rel=1e-6)
    assert len(bits) == found["num_tokens"]


def test_a_file_is_scored_as_standard_input_is(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(SENTENCES)
    from_file = lmtrain("score", trained.run_dir, tmp_path / "text.txt")
    assert (from_file.code, from_file.out) == (0, score(trained).out)
    (tmp_path / "text.txt.xz").write_bytes(lzma.compress(SENTENCES.encode()))
    assert lmtrain("score", trained.run_dir, tmp_path / "text.txt.xz").out == from_file.out


def test_kaldi_words(trained: Trained) -> None:
    """Read as Kaldi's estimate_arc_nnlm_scores.py does: fields by whitespace, the last of them of </s>."""
    text = "utt-1 the old cat\nutt-2\n"
    lines = score(trained, "--format", "kaldi-words", text=text).out.splitlines()
    assert [line.split()[0] for line in lines] == ["utt-1", "utt-2"]
    rows = score(trained, "--format", "json", text="the old cat\n\n").out.splitlines()
    for line, row in zip(lines, rows, strict=True):
        bits = [token["surprisal"] for token in json.loads(row)["tokens"]]
        costs = [float(field) for field in line.split()[1:]]
        assert costs == pytest.approx([value * math.log(2) for value in bits], abs=2e-6)


FORMS = {
    "tsv": "{}",
    "json": "{}",
    "srilm": "{}",
    "html": "{}",
    "kaldi": "utt {}",
    "kaldi-words": "utt {}",
    "nbest": "-1 -2 2 {}",
}


@pytest.mark.parametrize("form", FORMS)
def test_marks_of_sentences_are_no_words(form: str, trained: Trained) -> None:
    marked, plain = (
        of_lines(score(trained, "--format", form, text=FORMS[form].format(words) + "\n"))
        for words in ("<s> the cat </s>", "the cat")
    )
    assert marked.replace("<s> the cat </s>", "the cat") == plain


@pytest.mark.parametrize("form", ["kaldi", "kaldi-words", "nbest"])
def test_a_blank_line_between_lists_comes_out_as_it_is(form: str, trained: Trained) -> None:
    line = FORMS[form].format("the cat") + "\n"
    one, blank, again = score(trained, "--format", form, text=f"{line} \n{line}").out.splitlines()
    assert one == again
    assert blank == ""


@pytest.mark.parametrize("form", FORMS)
def test_a_bad_line_loses_nothing_before_it(form: str, trained: Trained) -> None:
    good, bad = (FORMS[form].format(words) + "\n" for words in ("the cat", "the <eos>"))
    text = good + good + bad + good
    stopped = lmtrain("score", trained.run_dir, "-", "--format", form, stdin=text.encode())
    assert stopped.code == 3
    whole = score(trained, "--format", form, text=good + good).out
    assert whole.startswith(stopped.out)
    assert len(stopped.out) > len(whole) * 0.6  # what ends a text is missing
    skipped = score(trained, "--format", form, "--skip-bad-lines", text=text)
    assert of_lines(skipped) == of_lines(score(trained, "--format", form, text=good * 3))
    assert "standard input:3: the text itself holds <eos>" in skipped.err
    assert re.search(r"; left out\nsignature: [^\n]*\n1 line left out\n\Z", skipped.err)


def test_a_compressed_text_that_is_cut_off_loses_nothing_before_it(trained: Trained) -> None:
    cut = gzip.compress(b"the cat\nold cat\nthe dog sat\n", compresslevel=0)[:-12]  # of the third line too
    for options in ((), ("--skip-bad-lines",)):
        stopped = lmtrain("score", trained.run_dir, "-", "--format", "kaldi", *options, stdin=cut)
        assert stopped.code == 3
        assert stopped.out == score(trained, "--format", "kaldi", text="the cat\nold cat\n").out
        assert "standard input: cut off, it ends within its compressed text; copy or fetch" in stopped.err


def test_no_line_is_left(trained: Trained) -> None:
    outcome = score(trained, "--skip-bad-lines", text="<eos>\n")
    assert outcome.out == "sentence_id\ttoken_id\ttoken\tsurprisal\n"


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        ("kaldi", ["utt-a-1 the old cat", "utt-a-2 dog", "utt-b-1 sat", "utt-b-2 saw and", "utt-c slept"]),
        (
            "nbest",
            ["-1 -2 3 the old cat", "-1 -2 1 dog", "", "-1 -2 1 sat", "-1 -2 2 saw and", "", "-1 -2 1 slept"],
        ),
    ],
)
def test_an_utterance_goes_on_from_the_best_of_the_one_before(
    form: str, lines: list[str], trained: Trained
) -> None:
    options = ("--format", form, "--context", "utterance")
    found = [line.split() for line in score(trained, *options, text="\n".join(lines)).out.splitlines()]
    scores = [-float(row[1]) if form == "kaldi" else float(row[1]) * math.log(10) for row in found if row]
    first, second = ["the old cat", "dog"], ["sat", "saw and"]
    histories = [[text] for text in first]
    histories += [[first[0], text] for text in second]
    histories += [[first[0], second[0], "slept"]]
    for history, value in zip(histories, scores, strict=True):
        text = "".join(f"{line}\n" for line in history)
        rows = score(trained, "--context", "stream", "--format", "json", text=text).out.splitlines()
        assert value == pytest.approx(json.loads(rows[-1])["logprob"], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "text", "code", "message"),
    [
        ((), "", 3, "standard input: empty"),
        ((), "the <eos> cat\n", 3, "standard input:1: the text itself holds <eos>"),
        (("--format", "nbest"), "-1 nan 1 the\n", 3, "standard input:1: expected 'ascore"),
        (("--format", "nbest"), "inf -2 1 the\n", 3, "standard input:1: expected 'ascore"),
        (("--format", "nbest"), "1_0 -2 1 the\n", 3, "standard input:1: expected 'ascore"),
        (("--format", "nbest"), "-1 the\n", 3, "standard input:1: expected 'ascore"),
        (("--context", "utterance"), "the\n", 2, "--context utterance is for kaldi, kaldi-words and nbest"),
        (
            ("--context", "utterance", "--format", "kaldi", "--after", "the"),
            "the\n",
            2,
            "--context utterance",
        ),
        (("--context", "utterance", "--format", "kaldi", "--adapt", "cache"), "the\n", 2, "alternatives"),
        (("--format", "nbest"), "NBestList1.0\n(-1) the\n", 3, "standard input:1: expected 'ascore"),
        (("--format", "nbest"), "-1 -2 the cat\n", 3, "standard input:1: expected 'ascore"),
        (("--format", "nbest", "--context", "stream"), "", 2, "lists alternatives"),
        (("--format", "srilm", "--extended"), "the\n", 2, "--extended has no place in --format srilm"),
    ],
)
def test_what_is_refused(
    options: tuple[str, ...], text: str, code: int, message: str, trained: Trained
) -> None:
    outcome = lmtrain("score", trained.run_dir, "-", *options, stdin=text.encode())
    assert outcome.code == code
    assert message in outcome.err
    assert outcome.out == ""


def test_bfloat16_is_near(trained: Trained) -> None:
    exact, near = (
        [bits for _, bits in parse_lm_zoo(score(trained, "--precision", precision).out).values()]
        for precision in ("float32", "bfloat16")
    )
    assert near != exact
    assert near == pytest.approx(exact, rel=0.02)


def test_a_missing_file(trained: Trained) -> None:
    outcome = lmtrain("score", trained.run_dir, "nowhere.txt")
    assert (outcome.code, outcome.err) == (3, "lmtrain: nowhere.txt: no such file\n")


def test_what_comes_before_a_fault_is_scored(trained: Trained) -> None:
    """The lines that a block of the text has before the byte that is none of UTF-8, too."""
    text = b"the %b\n" % (b"old" * 80) * 2_000 + b"\xff\n"
    outcome = lmtrain("score", trained.run_dir, "-", "--format", "kaldi", stdin=b"the old cat\n" + text)
    assert outcome.code == 3
    assert "standard input:2002: not UTF-8" in outcome.err
    assert len(outcome.out.splitlines()) == 2_001


def test_a_program_that_asks_line_by_line_is_answered(trained: Trained) -> None:
    command = [sys.executable, "-m", "lmtrain", "score", str(trained.run_dir), "-", "--format", "kaldi"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=os.environ.copy()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(3):
            process.stdin.write(f"utt-{number} the old cat\n")
            process.stdin.flush()
            assert process.stdout.readline().split()[0] == f"utt-{number}"
        process.stdin.close()
        assert process.wait() == 0


def run_program(trained: Trained, *options: str, **settings: Any) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "lmtrain", "score", str(trained.run_dir), "-", *options]
    return subprocess.run(command, capture_output=True, check=False, **settings)


def test_results_are_utf8_whatever_the_locale(trained: Trained) -> None:
    text = "na\u00efve \u4f60 cat\n"
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = run_program(trained, "--extended", input=text.encode(), env=environment)
    assert done.returncode == 0
    assert [row.split("\t")[2] for row in done.stdout.decode().splitlines()[1:3]] == text.split()[:2]


def test_a_closed_input_is_an_empty_one(trained: Trained) -> None:
    done = run_program(trained, preexec_fn=lambda: os.close(0))
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        3,
        b"lmtrain: standard input: empty, there is no line in it",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_disk_that_is_full(trained: Trained) -> None:
    command = [sys.executable, "-m", "lmtrain", "score", str(trained.run_dir), "-"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, input=b"the\n", stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (
        6,
        b"lmtrain: standard output: cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("form", FORMS)
def test_what_figures_depend_on_is_told_beside_every_form(
    form: str, trained: Trained, tmp_path: Path
) -> None:
    text = "-1 -2 3 the old cat\n\n" if form == "nbest" else SENTENCES
    outcome = score(trained, "--format", form, text=text)
    (signature,) = re.findall(r"^signature: (.*)$", outcome.err, re.MULTILINE)
    base = {"srilm": "10", "nbest": "10", "kaldi": "e", "kaldi-words": "e"}.get(form, "2")
    model, digest = load_model(trained.run_dir), hashlib.sha256(text.encode()).hexdigest()
    assert signature == (
        f"surprisal|log:{base}|tok:ws|unk:incl|eos:incl|ctx:line|adapt:none|model:{model.sha256[:8]}"
        f"|vocab:{model.vocab.sha256[:8]}|data:{digest[:8]}|lmtrain:{__version__}"
    )
    out = tmp_path / "new" / "scores"
    kept = score(trained, "--format", form, "--out", out, text=text)
    assert (kept.out, "signature" in kept.err) == ("", False)
    assert out.read_bytes() == outcome.out.encode()
    assert json.loads((tmp_path / "new" / "scores.json").read_text()) == {
        "data": "standard input",
        "sha256": digest,
        "models": [{"model": "tiny", "signature": signature}],
    }
    if form == "json":
        of_rows = signature.replace(f"|data:{digest[:8]}", "")  # the tokens stand beside it
        assert {json.loads(line)["signature"] for line in outcome.out.splitlines()} == {of_rows}
    elif form == "html":
        assert f"<footer>{signature}<br>\nstandard input, SHA-256 {digest}</footer>" in outcome.out
    else:
        assert "lmtrain:" not in outcome.out


def test_signatures_tell_apart_what_changes_figures(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "whole.txt.gz").write_bytes(gzip.compress(SENTENCES.encode()))
    digest = hashlib.sha256(SENTENCES.encode()).hexdigest()
    (plain,) = re.findall(r"signature: (.*)", score(trained).err)
    for options, part in (
        (["--context", "stream"], "|ctx:stream1|"),
        (["--after", "the cat"], f"|ctx:line|after:{hashlib.sha256(b'the cat').hexdigest()[:8]}|"),
        (["--precision", "bfloat16"], "|prec:bfloat16|"),
        (["--snapshot", "9"], f"|model:{load_model(trained.run_dir, '9').sha256[:8]}|"),
        (["--lowercase", "--rows", "parts"], "|tok:ws+lower|unk:incl|eos:excl|"),
    ):
        (found,) = re.findall(r"signature: (.*)", score(trained, *options).err)
        assert part in found
        assert part not in plain
    packed = lmtrain("score", "runs/tiny", tmp_path / "whole.txt.gz", folder=trained.folder)
    assert f"|data:{digest[:8]}|" in packed.err  # of what was compressed


def test_a_fault_leaves_no_half_of_a_file(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    out.write_text("as before")
    bad = b"the cat\nthe <eos> cat\n"
    outcome = lmtrain("score", "runs/tiny", "-", "--out", out, folder=trained.folder, stdin=bad)
    assert (outcome.code, outcome.out) == (3, "")
    assert out.read_text() == "as before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores"]


def test_html_shows_what_tsv_says(trained: Trained) -> None:
    text = "the old <cat> & unicorn\nthe dog\n"
    page = score(trained, "--format", "html", "--extended", text=text).out
    tsv = list(csv.DictReader(io.StringIO(score(trained, "--extended", text=text).out), delimiter="\t"))
    cells = re.findall(r"<tr>" + r"<td>(.*?)</td>" * 5 + "</tr>", page)
    assert [(int(i), html.unescape(word)) for i, word, *_ in cells] == [
        (int(row["token_id"]), row["token"].replace("<eos>", "↵")) for row in tsv
    ]
    for (_, _, bits, entropy, rank), row in zip(cells, tsv, strict=True):
        assert float(bits) == pytest.approx(float(row["surprisal"]), abs=5e-4)
        assert float(entropy) == pytest.approx(float(row["entropy"]), abs=5e-4)
        assert int(rank.replace(",", "")) == int(row["rank"])
    below = re.findall(r"<span[^>]*>([^<]+)<small>([^<]+)</small></span>", page)
    assert [float(bits) for _, bits in below] == [round(float(c[2]), 1) for c in cells]
    assert page.count('class="unk" style') == sum(row["is_unk"] == "1" for row in tsv) > 0
    assert "<cat>" not in page


def test_html_is_darker_where_surprisal_is_higher(trained: Trained) -> None:
    page = score(trained, "--format", "html").out
    shaded = re.findall(r"0, ([\d.]+)\)\">[^<]+<small>([\d.]+)</small>", page)
    by_bits = [float(shade) for shade, bits in sorted(shaded, key=lambda pair: float(pair[1]))]
    assert by_bits == sorted(by_bits)
    assert len(set(by_bits)) > 3
