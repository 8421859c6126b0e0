"""``lmtrain score`` of people's own sentences and tables, read back as pandas and R would."""

import csv
import hashlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from program import Outcome, Trained, lmtrain
from tiny_models import VOCAB

from lmtrain.cli.word_table import WordReader
from lmtrain.inference.score import ScoredLine

ITEMS = (
    "item,condition,sentence,rt\n"
    '1,a,"The old cat, and the dog",350\n'
    "1,b,the unicorn sat,400\n"
    '2,a,"the dog\'s cat slept.",\n'
)
LONG = (
    "item\tcondition\tregion\tword\n"
    "1\ta\tsubject\tthe\n1\ta\tsubject\told cat\n1\ta\tverb\tsat\n"
    "1\tb\tsubject\tthe\n1\tb\tverb\t\n1\tb\tverb\tslept\n"
)


def score(trained: Trained, file: object, *options: object, stdin: str = "", code: int = 0) -> Outcome:
    outcome = lmtrain("score", "runs/tiny", file, *options, folder=trained.folder, stdin=stdin.encode())
    assert outcome.code == code, outcome.err
    return outcome


def rows_of(text: str, separator: str = "\t") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter=separator))


def plain(trained: Trained, line: str, *options: object) -> list[float]:
    """The surprisals of a line of words of the model, without its end."""
    return [float(row["surprisal"]) for row in rows_of(score(trained, "-", *options, stdin=line).out)][:-1]


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "items.csv"
    path.write_text(ITEMS, encoding="utf-8")
    return path


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.tsv"
    path.write_text(LONG, encoding="utf-8")
    return path


def test_a_row_is_an_original_word_with_its_place_and_the_sum_of_its_parts(trained: Trained) -> None:
    text = "The cat's dog.\n\nold\n"
    options = ("--tokenizer", "penn", "--lowercase")
    found = rows_of(score(trained, "-", *options, stdin=text).out)
    assert [(r["sentence_id"], r["word_id"], r["word"], r["start"], r["end"]) for r in found] == [
        ("1", "1", "The", "0", "3"),
        ("1", "2", "cat's", "4", "9"),
        ("1", "3", "dog.", "10", "14"),
        ("3", "1", "old", "0", "3"),
    ]
    costs = plain(trained, "the cat 's dog .\n")
    expected = [costs[0], costs[1] + costs[2], costs[3] + costs[4], plain(trained, "old\n")[0]]
    assert [float(row["surprisal"]) for row in found] == pytest.approx(expected, abs=1e-5)
    assert [row["is_unk"] for row in found] == ["0", "1", "1", "0"]
    parts = rows_of(score(trained, "-", *options, "--rows", "parts", stdin=text).out)
    assert [(r["word_id"], r["part_id"], r["part"], r["start"], r["end"]) for r in parts[1:3]] == [
        ("2", "1", "cat", "4", "7"),
        ("2", "2", "'s", "7", "9"),
    ]
    assert [float(row["surprisal"]) for row in parts[:5]] == pytest.approx(costs, abs=1e-5)


def test_plain_text_stays_what_it_was(trained: Trained) -> None:
    assert score(trained, "-", stdin="the cat\n").out.startswith(
        "sentence_id\ttoken_id\ttoken\tsurprisal\n1\t1\t"
    )


def test_a_table_of_sentences_comes_back_with_columns_more(trained: Trained, items: Path) -> None:
    found = rows_of(score(trained, items, "--lowercase").out, ",")
    assert [{k: row[k] for k in ("item", "condition", "sentence", "rt")} for row in found] == rows_of(
        ITEMS, ","
    )
    costs = plain(trained, "the old cat, and the dog\n")
    assert float(found[0]["surprisal"]) == pytest.approx(sum(costs), abs=1e-5)
    assert float(found[0]["surprisal_mean"]) == pytest.approx(sum(costs) / 6, abs=1e-5)
    assert [(row["num_words"], row["num_unk"]) for row in found] == [("6", "1"), ("3", "1"), ("4", "2")]
    by_word = rows_of(score(trained, items, "--lowercase", "--rows", "words").out, ",")
    assert len(by_word) == 13
    assert [row["word"] for row in by_word[:6]] == ["The", "old", "cat,", "and", "the", "dog"]
    assert [float(row["surprisal"]) for row in by_word[:6]] == pytest.approx(costs, abs=1e-5)
    assert by_word[0]["rt"] == "350"


def test_a_table_of_words_keeps_its_rows(trained: Trained, words: Path) -> None:
    found = rows_of(score(trained, words, "--spillover", 2, "--entropy-reduction").out)
    assert [row["word"] for row in found] == ["the", "old cat", "sat", "the", "", "slept"]
    first, second = plain(trained, "the old cat sat\n"), plain(trained, "the slept\n")
    expected = [first[0], first[1] + first[2], first[3], second[0], None, second[1]]
    shown = [float(row["surprisal"]) if row["surprisal"] else None for row in found]
    assert [x for x in shown if x is not None] == pytest.approx(
        [x for x in expected if x is not None], abs=1e-5
    )
    assert shown[4] is None
    assert set(found[4].values()) == {"1", "b", "verb", ""}  # missing, as pandas and R read it
    assert [row["surprisal_prev1"] for row in found[:3]] == ["", *(row["surprisal"] for row in found[:2])]
    assert [row["surprisal_prev2"] for row in found[:3]] == ["", "", found[0]["surprisal"]]
    assert [row["frequency_rank_prev1"] for row in found[1:3]] == [row["frequency_rank"] for row in found[:2]]
    details = rows_of(score(trained, "-", "--extended", stdin="the old cat sat\n").out)
    entropy = [float(row["entropy"]) for row in details]
    assert float(found[1]["entropy"]) == pytest.approx(entropy[1], abs=1e-5)
    assert int(found[1]["rank"]) == max(int(row["rank"]) for row in details[1:3])
    reductions = [entropy[0] - entropy[1], entropy[1] - entropy[3], entropy[3] - entropy[4]]
    shown_reductions = [float(row["entropy_reduction"]) for row in found[:3]]
    assert shown_reductions == pytest.approx([max(0, x) for x in reductions], abs=2e-6)


def test_frequency_rank_is_that_of_the_vocabulary(trained: Trained, words: Path) -> None:
    (vocab,) = sorted(trained.run_dir.glob("snapshots/*/vocab.txt"))[-1:]
    rank = {word: str(i) for i, word in enumerate(vocab.read_text(encoding="utf-8").split(), 1)}
    found = rows_of(score(trained, words).out)
    assert [found[i]["frequency_rank"] for i in (0, 2, 5)] == [rank["the"], rank["sat"], rank["slept"]]


def test_an_unknown_word_has_no_frequency_and_spillover_tells_of_it(trained: Trained) -> None:
    table = "item,word\n1,the\n1,unicorn\n1,sat\n"
    found = rows_of(score(trained, "-", "--column", "word", "--spillover", 1, stdin=table).out, ",")
    assert [row["is_unk"] for row in found] == ["0", "1", "0"]
    assert [row["is_unk_prev1"] for row in found] == ["", "0", "1"]
    assert found[1]["frequency_rank"] == found[2]["frequency_rank_prev1"] == ""
    assert "" not in (found[0]["frequency_rank"], found[2]["frequency_rank"])
    assert found[2]["surprisal_prev1"] == found[1]["surprisal"] != ""


def test_where_a_list_fixed_the_order_of_words_there_is_no_rank() -> None:
    line = ScoredLine(["the", "<eos>"], [False, False], np.ones(2))
    for is_by_frequency, rank in ((True, VOCAB.id_of("the") + 1), (False, None)):
        vocab = replace(VOCAB, is_by_frequency=is_by_frequency)
        reader = WordReader(cast("Any", SimpleNamespace(vocab=vocab)), cast("Any", None), "")
        score = reader.score_of(line, slice(0, 1))
        assert score is not None
        assert (score.nats, score.frequency_rank) == (1, rank)


def test_sums_and_means(trained: Trained, words: Path) -> None:
    rows = rows_of(score(trained, words).out)
    found = rows_of(score(trained, words, "--by", "item,condition,region").out)
    assert [(r["item"], r["condition"], r["region"], r["num_words"]) for r in found] == [
        ("1", "a", "subject", "3"),  # of two rows, one of them two words
        ("1", "a", "verb", "1"),
        ("1", "b", "subject", "1"),
        ("1", "b", "verb", "1"),
    ]
    subject = [float(row["surprisal"]) for row in rows[:2]]
    assert float(found[0]["surprisal_sum"]) == pytest.approx(sum(subject), abs=1e-5)
    assert float(found[0]["surprisal_mean"]) == pytest.approx(sum(subject) / 3, abs=1e-5)
    assert found[0]["num_unk"] == "0"


def test_regions_cost_what_their_words_do(trained: Trained) -> None:
    regions = "item,start,text\n1,r1,the old cat\n1,r2,sat xx yy\n"
    sums = rows_of(
        score(trained, "-", "--column", "text", "--sentence-by", "item", "--by", "item", stdin=regions).out,
        ",",
    )
    single = "item,word\n" + "".join(f"1,{word}\n" for word in ["the", "old", "cat", "sat", "xx", "yy"])
    expected = rows_of(score(trained, "-", "--column", "word", "--by", "item", stdin=single).out, ",")
    assert sums == expected
    assert (sums[0]["num_words"], sums[0]["num_unk"]) == ("6", "2")


def test_a_word_with_several_unknown_parts_is_one_unknown_word(trained: Trained) -> None:
    table = 'item,sentence\n1,"the xx\'yy, cat"\n'
    options = ("--column", "sentence", "--tokenizer", "penn")
    words = rows_of(score(trained, "-", *options, "--rows", "words", stdin=table).out, ",")
    parts = rows_of(score(trained, "-", *options, "--rows", "parts", stdin=table).out, ",")
    (whole,) = rows_of(score(trained, "-", *options, stdin=table).out, ",")
    assert sum(int(part["is_unk"]) for part in parts) > 1
    assert whole["num_unk"] == str(sum(int(word["is_unk"]) for word in words)) == "1"


def test_sums_are_of_figures_before_they_are_rounded(trained: Trained, items: Path) -> None:
    wholes = rows_of(score(trained, items).out, ",")
    sums = rows_of(score(trained, items, "--by", "item,condition").out, ",")
    assert [row["surprisal_sum"] for row in sums] == [row["surprisal"] for row in wholes]


def test_entropy_reduction_is_summed_too(trained: Trained, words: Path) -> None:
    by_word = score(trained, "-", "--entropy-reduction", "--rows", "words", stdin="the old cat sat\n")
    found = rows_of(score(trained, words, "--entropy-reduction", "--by", "condition").out)
    total = sum(float(row["entropy_reduction"]) for row in rows_of(by_word.out))
    assert float(found[0]["entropy_reduction_sum"]) == pytest.approx(total, abs=1e-5)
    assert float(found[0]["entropy_reduction_mean"]) == pytest.approx(total / 4, abs=1e-5)


def test_guesses_are_those_in_the_place_of_the_first_part(trained: Trained, words: Path) -> None:
    found = rows_of(score(trained, words, "--top", 2, "--base", "e").out)
    details = rows_of(score(trained, "-", "--top", 2, stdin="the old cat sat\n").out)
    for row, at in ((found[1], 1), (found[2], 3)):
        for i in (1, 2):
            assert row[f"guess_{i}"] == details[at][f"guess_{i}"]
            bits = float(row[f"guess_{i}_surprisal_nats"]) / math.log(2)
            assert bits == pytest.approx(float(details[at][f"guess_{i}_surprisal"]), abs=1e-5)
    assert found[4]["guess_1"] == ""


def test_the_base_of_the_logarithm_is_in_the_names(trained: Trained, words: Path) -> None:
    bits = [float(row["surprisal"] or 0) for row in rows_of(score(trained, words).out)]
    for base, name, nats in (("e", "surprisal_nats", 1.0), ("10", "surprisal_log10", math.log(10))):
        found = rows_of(score(trained, words, "--base", base).out)
        assert "surprisal" not in found[0]
        assert [float(row[name] or 0) * nats / math.log(2) for row in found] == pytest.approx(bits, abs=1e-5)


def test_what_figures_depend_on_goes_with_them(trained: Trained, words: Path, tmp_path: Path) -> None:
    outcome = score(trained, words)
    (signature,) = [line for line in outcome.err.splitlines() if line.startswith("signature: ")]
    assert signature.startswith(
        "signature: surprisal|log:2|tok:ws|unk:incl|eos:excl|ctx:line|adapt:none|model:"
    )
    out = tmp_path / "scored.tsv"
    assert score(trained, words, "--out", out).out == ""
    assert out.read_text(encoding="utf-8") == outcome.out
    facts = json.loads((tmp_path / "scored.tsv.json").read_text(encoding="utf-8"))
    assert facts["models"] == [{"model": "tiny", "signature": signature.removeprefix("signature: ")}]
    assert facts["data"] == str(words)
    assert facts["sha256"] == hashlib.sha256(words.read_bytes()).hexdigest()


def test_models_have_columns_of_their_own(trained: Trained, words: Path) -> None:
    steps = sorted(path.name for path in (trained.run_dir / "snapshots").iterdir())
    models = [f"runs/tiny/snapshots/{step}" for step in (steps[0], steps[-1])]
    outcome = lmtrain("score", *models, words, "--by", "condition", folder=trained.folder)
    assert outcome.code == 0, outcome.err
    row = rows_of(outcome.out)[0]
    for model, step in zip(models, (steps[0], steps[-1]), strict=True):
        alone = lmtrain("score", model, words, "--by", "condition", folder=trained.folder)
        assert row[f"surprisal_sum_{step}"] == rows_of(alone.out)[0]["surprisal_sum"]


def test_unknown_words_are_named_by_item_with_what_would_mend_it(trained: Trained, items: Path) -> None:
    err = score(trained, items).err
    assert "5 of 13 words (38.5%) are unknown to the model or have a part that is" in err
    assert "  item 1: The (known as the), cat, (known as cat), unicorn\n" in err
    assert "--tokenizer penn --lowercase --no-punctuation would leave 15.4% unknown\n" in err
    assert "would leave" not in score(trained, "-", "--no-punctuation", stdin="the unicorn\n").err
    assert "unknown" not in score(trained, "-", "--rows", "words", stdin="the old cat\n").err


def test_punctuation_that_is_left_out_costs_nothing_and_tells_nothing(trained: Trained) -> None:
    options = ("--tokenizer", "penn", "--lowercase", "--no-punctuation")
    outcome = score(trained, "-", *options, "--spillover", 1, stdin="The cat, — sat.\n")
    found = rows_of(outcome.out)
    assert [row["word"] for row in found] == ["The", "cat,", "—", "sat."]
    costs = plain(trained, "the cat sat\n")
    shown = [float(row["surprisal"]) for row in found if row["surprisal"]]
    assert shown == pytest.approx(costs, abs=1e-5)
    assert set(list(found[2].values())[5:]) == {""}
    assert [row["surprisal_prev1"] for row in found[1::2]] == [row["surprisal"] for row in found[:2]]
    assert "tok:penn+lower+nopunct|" in outcome.err
    table = 'sentence\n"The cat, — sat."\n'
    (row,) = rows_of(score(trained, "-", *options, "--column", "sentence", stdin=table).out, ",")
    assert row["num_words"] == "3"
    assert float(row["surprisal_mean"]) == pytest.approx(sum(costs) / 3, abs=1e-5)


def test_unknown_words_of_a_text_are_named_by_line(trained: Trained) -> None:
    err = score(trained, "-", stdin="the old cat\nThe Cat\n").err
    assert "2 of 7 tokens are scored as <unk>" in err
    assert "  line 2: The (known as the), Cat (known as cat)\n--lowercase would leave 0.0% unknown\n" in err
    assert "line 2" not in score(trained, "-", stdin="the old cat\n" * 5 + "The\n").err


def test_capitals_in_a_header_do_not_matter(trained: Trained, tmp_path: Path, words: Path) -> None:
    text = LONG.replace("item\tcondition\tregion\tword", "Item\tCondition\tRegion\tWord")
    (tmp_path / "capitals.tsv").write_text(text, encoding="utf-8")
    plain, capitals = (
        [row["surprisal"] for row in rows_of(score(trained, path).out)]
        for path in (words, tmp_path / "capitals.tsv")
    )
    assert capitals == plain


def test_rows_that_nothing_parts_are_one_sentence_and_it_says_so(trained: Trained, words: Path) -> None:
    told = "no column such as item or sentence_id; all rows are read as one sentence"
    found = score(trained, "-", "--column", "word", stdin="word\nthe\nold\n")
    assert told in found.err
    shown = [float(row["surprisal"]) for row in rows_of(found.out, ",")]
    assert shown == pytest.approx(plain(trained, "the old\n"), abs=1e-5)
    assert told not in score(trained, words).err


def test_words_of_a_sentence_that_others_part_are_refused(trained: Trained) -> None:
    table = "item,condition,word\n1,a,the\n1,b,the\n1,a,cat\n1,b,dog\n"
    outcome = score(trained, "-", "--column", "word", stdin=table, code=3)
    assert outcome.out == ""
    assert (
        "standard input: row 3 (item 1, condition a) goes on with a sentence that other rows" in outcome.err
    )
    assert "--sentence-by item,condition,…" in outcome.err


def test_columns_of_any_name_tell_sentences_apart(trained: Trained) -> None:
    table = "passage;version;token\n1;a;the\n1;a;cat\n1;b;the\n1;b;dog\n"
    found = rows_of(score(trained, "-", "--sentence-by", "passage, version", stdin=table).out, ";")
    costs = [*plain(trained, "the cat\n"), *plain(trained, "the dog\n")]
    assert [float(row["surprisal"]) for row in found] == pytest.approx(costs, abs=1e-5)
    whole = score(trained, "-", "--column", "token", stdin=table)
    assert (
        "all rows are read as one sentence (name what tells sentences apart with --sentence-by)" in whole.err
    )
    assert [row["surprisal"] for row in rows_of(whole.out, ";")] != [row["surprisal"] for row in found]
    refused = score(trained, "-", "--sentence-by", "cond", stdin=table, code=2)
    assert "no column 'cond' (there are passage, version, token)" in refused.err


def test_targets_of_a_cloze_test_stand_after_their_contexts(trained: Trained) -> None:
    table = "context,word\nThe old,cat\n,cat\nThe old cat,sat and\n"
    options = ("--after-column", "context", "--lowercase", "--top", 1)
    outcome = score(trained, "-", *options, stdin=table)
    found = rows_of(outcome.out, ",")
    costs = plain(trained, "the old cat sat and\n")
    expected = [costs[2], plain(trained, "cat\n")[0], costs[3] + costs[4]]
    assert [float(row["surprisal"]) for row in found] == pytest.approx(expected, abs=1e-5)
    guesses = rows_of(score(trained, "-", "--top", 1, stdin="the old cat sat and\n").out)
    assert [row["guess_1"] for row in found[::2]] == [guesses[at]["guess_1"] for at in (2, 3)]
    assert "|ctx:line|after:column|" in outcome.err
    assert "one sentence" not in outcome.err
    parts = rows_of(score(trained, "-", *options, "--rows", "parts", stdin=table).out, ",")
    assert [(row["part"], row["start"], row["end"]) for row in parts] == [
        *(("cat", "0", "3"), ("cat", "0", "3"), ("sat", "0", "3"), ("and", "4", "7"))
    ]
    for option in (("--sentence-by", "context"), ("--context", "stream"), ("--adapt", "cache")):
        told = score(trained, "-", "--after-column", "context", *option, stdin=table, code=2).err
        assert f"{' '.join(option[:2]) if option[0] != '--sentence-by' else option[0]} has no meaning" in told


def test_stories_are_read_whole_or_as_a_stream(trained: Trained) -> None:
    rows = ("1,1,the", "1,1,cat", "1,2,sat", "2,1,the", "2,1,dog")
    table = "story,sentence,word\n" + "".join(f"{row}\n" for row in rows)

    def shown(*options: object) -> list[float]:
        found = rows_of(score(trained, "-", "--column", "word", *options, stdin=table).out, ",")
        return [float(row["surprisal"]) for row in found]

    whole = [*plain(trained, "the cat sat\n"), *plain(trained, "the dog\n")]
    assert shown("--sentence-by", "story") == pytest.approx(whole, abs=1e-5)
    text = score(trained, "-", "--context", "stream", stdin="the cat\nsat\nthe dog\n").out
    stream = [float(row["surprisal"]) for row in rows_of(text) if row["token"] != "<eos>"]
    assert shown("--context", "stream") == pytest.approx(stream, abs=1e-5)


def test_rows_that_vanish_are_told_of(trained: Trained) -> None:
    table = "item,sentence\n1,the cat\n2,\n3,— !\n"
    options = ("--column", "sentence", "--no-punctuation")
    outcome = score(trained, "-", *options, "--rows", "parts", stdin=table)
    assert [row["item"] for row in rows_of(outcome.out, ",")] == ["1", "1"]
    assert "standard input: 2 of 3 rows have no word, and none in what is written: 2, 3\n" in outcome.err
    outcome = score(trained, "-", *options, "--rows", "words", stdin=table)
    assert [row["item"] for row in rows_of(outcome.out, ",")] == ["1", "1", "3", "3"]
    assert "1 of 3 rows have no word, and none in what is written: 2\n" in outcome.err
    whole = score(trained, "-", *options, stdin=table)
    assert len(rows_of(whole.out, ",")) == 3
    assert "rows have no word" not in whole.err


def test_a_column_called_sentence_has_no_words(trained: Trained) -> None:
    found = rows_of(score(trained, "-", "--column", "sentence", stdin="sentence\nthe\nthe\n").out, ",")
    assert len({row["surprisal"] for row in found}) == 1


def test_a_table_that_is_read_as_text_is_told_of(trained: Trained) -> None:
    for options in ((), ("--tokenizer", "penn"), ("--format", "json")):
        told = score(trained, "-", *options, stdin=LONG).err
        assert "standard input: looks like a table and is read as lines of text" in told
    assert "looks like a table" not in score(trained, "-", stdin="the old cat, and the word\n").err


@pytest.mark.parametrize(
    ("text", "options", "code", "message"),
    [
        (
            "a,b\n1,2\n",
            (),
            2,
            "no column is called word or sentence; name one with --column (there are a, b)",
        ),
        (",b\n1,2\n", (), 2, "no column is called word or sentence"),  # pandas writes an index so
        ("a,b\n1,2\n", ("--column", "c"), 2, "no column 'c' (there are a, b)"),
        ("Word,b\n1,2\n", ("--column", "word"), 2, "did you mean 'Word'?"),
        ("word\nthe\n", ("--base", "3"), 2, "Invalid value for '--base': '3' is not one of"),
        ("word,surprisal\nthe,2\n", (), 2, "a column is called 'surprisal' already"),
        ("word,word\nthe,2\n", (), 3, "two columns are called 'word'"),
        ("word,a\nthe,2,3\n", (), 3, ":2: 3 cells, where the header has 2 columns"),
        ('word\n"the\n', (), 3, "not CSV"),
        ("word\n", (), 3, "no row beneath the header"),
        ("word\nthe\n", ("--by", "region"), 2, "--by: no column 'region' (there are word, "),
        ("word\nthe\n", ("--rows", "words"), 2, "each row is a word already"),
        ("word\nthe\n", ("--format", "json"), 2, "or save the column of sentences as a text"),
        ("word\nthe\n", ("--format", "kaldi", "--column", "word"), 2, "it reads lines 'utt-id w1 w2 …'"),
        ("word\nthe\n", ("--numbers", "a b"), 2, "'a b' is not one word"),
        ("sentence\nthe cat\n", ("--spillover", "1"), 2, "give --rows words too"),
        ("word\nthe\n", ("--top", "1", "--by", "word"), 2, "have no place in --by"),
        ("word\nthe\n", ("--rows", "parts", "--by", "word"), 2, "--rows parts has no place in --by"),
        ("word\n<eos>\n", (), 3, "the text itself holds <eos>"),
    ],
)
def test_what_has_no_meaning_is_refused(
    trained: Trained, tmp_path: Path, text: str, options: tuple[str, ...], code: int, message: str
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    outcome = score(trained, path, *options, code=code)
    assert message in " ".join(outcome.err.split())
    assert outcome.out == ""


def test_eval_and_generate_read_text_by_the_same_rules(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("The CAT sat\n", encoding="utf-8")
    found = [
        json.loads(
            lmtrain(
                "eval",
                "runs/tiny",
                "--data",
                tmp_path / "text.txt",
                *options,
                "--json",
                folder=trained.folder,
            ).out
        )
        for options in ((), ("--tokenizer", "penn", "--lowercase"))
    ]
    assert [result["num_oov"] for result in found] == [2, 0]
    assert found[1]["signature"].startswith("ppl|tok:penn+lower|")
    options = ("--prompt", "The CAT", "--lowercase", "--greedy", "--num-words", 3)
    outcome = lmtrain("generate", "runs/tiny", *options, folder=trained.folder)
    assert outcome.code == 0
    assert outcome.out.startswith("the cat")
