"""A whole report: its words and pictures fit what was found, whatever the words of the text are."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from pictures import assert_parts_have_room
from tiny_models import VOCAB, make_model
from tiny_texts import random_corpus

from lmtrain.corpus.vocab import Vocabulary
from lmtrain.report import report
from lmtrain.report.markdown import code, number, per_model, percent, table
from lmtrain.report.measure.agreement import AgreementScore
from lmtrain.report.measure.context_reach import ContextCost, ContextReach
from lmtrain.report.measure.diagnose import Diagnosis, Examiner, Subject
from lmtrain.report.report import Report
from lmtrain.report.sections import agreement, context_reach, frequency, gradient_reach
from lmtrain.report.style import drawing, picture_bytes

PICTURES = ("gradient_reach", "context_reach", "frequency", "calibration", "costly_words")
LATER_PICTURES = ("saturation",)
ODD = Vocabulary(("$x_$", "<eos>", "a|b", "<unk>", "``", "語", "*mat*"))


def diagnosed(
    name: str = "tiny", vocab: Vocabulary = VOCAB, context: str = "stream", **options: str
) -> Diagnosis:
    bptt_len = 10 if context == "stream" else None
    about = f"{options.get('cell', 'lstm')} 2 × 6"
    subject = Subject(
        name, about, f"runs/{name}", make_model(**options), vocab, random_corpus(120), context, bptt_len
    )
    found = Examiner(num_positions=50, seed=1).examine(subject)
    return dataclasses.replace(
        found, perplexity=0.5 * len(vocab)
    )  # as if trained: a guess would not be judged


def report_of(*found: Diagnosis) -> Report:
    return Report("text.txt", "0" * 64, 50, 1, found)


@pytest.fixture(scope="module")
def tiny() -> Diagnosis:
    return diagnosed()


@pytest.mark.parametrize("cell", ["gru", "elman"])
def test_a_report_of_each_kind(cell: str) -> None:
    files = dict(report_of(diagnosed(cell=cell)).files())
    assert list(files) == ["report.json", "report.md", *(f"{p}.png" for p in (*PICTURES, *LATER_PICTURES))]
    assert all(files[f"{name}.png"].startswith(b"\x89PNG") for name in (*PICTURES, *LATER_PICTURES))
    linked = re.findall(r"!\[[^]]+\]\(([^)]+)\)", files["report.md"].decode())
    assert linked == [f"{name}.png" for name in (*PICTURES, *LATER_PICTURES)]


def test_the_same_seed_gives_the_same_report(tiny: Diagnosis) -> None:
    first, again = report_of(tiny), report_of(diagnosed())
    assert first.to_dict() == again.to_dict()
    assert first.markdown() == again.markdown()


def test_the_json(tiny: Diagnosis) -> None:
    name, content = next(report_of(tiny).files())
    assert name == "report.json"
    found = json.loads(content, parse_constant=pytest.fail)
    assert list(found) == ["lmtrain", "data", "data_sha256", "num_positions", "seed", "models"]
    (model,) = found["models"]
    assert model["perplexity"] == tiny.perplexity
    assert model["agreement"] is None
    assert [cost["k"] for cost in model["context_reach"]["costs"]] == [1, 2, 5, 10, 20, 50, 100, 200, "all"]
    assert len(model["gradient_reach"]["relative_norm"]) == tiny.gradient_reach.max_steps
    assert sum(band["num_tokens"] for band in model["frequency"]) == 120
    assert {gate["layer"] for gate in model["saturation"]} == {1, 2}


def test_words_of_any_kind() -> None:
    found = diagnosed(vocab=ODD)
    files = dict(report_of(found, dataclasses.replace(found, name="other")).files())  # warnings are errors
    table_rows = [line for line in files["report.md"].decode().splitlines() if line.startswith("| `a\\|b`")]
    assert table_rows
    assert all(len(re.findall(r"(?<!\\)\|", row)) in (3, 7) for row in table_rows)


def test_the_order_of_a_list_is_no_frequency() -> None:
    found = diagnosed(vocab=dataclasses.replace(VOCAB, is_by_frequency=False))
    assert [band.name for band in found.bands] == ["<eos>", "<unk>"]
    text = report_of(found).markdown()
    assert "whose order says nothing of how often the training text has them" in text
    assert "rank 1-" not in text
    assert "rank 1-" in report_of(diagnosed()).markdown()


def test_of_a_model_that_only_guesses_bptt_len_is_not_judged(tiny: Diagnosis) -> None:
    guessing = dataclasses.replace(tiny, perplexity=0.95 * tiny.vocab_size)
    taught = dataclasses.replace(tiny, perplexity=0.5 * tiny.vocab_size)
    assert report_of(guessing).markdown().count("has learnt next to nothing") == 2
    assert "bptt_len` 10 is" not in report_of(guessing).markdown()
    assert "learnt next to nothing" not in report_of(taught).markdown()


def test_words_of_one_rank_are_compared_with_none(tiny: Diagnosis) -> None:
    bands = [band for band in tiny.bands if not band.name.startswith("<")]
    assert len(bands) == 1
    assert "there is nothing to compare" in report_of(tiny).markdown()
    more = dataclasses.replace(tiny, bands=(*bands, dataclasses.replace(bands[0], name="11-100")))
    assert "there is nothing to compare" not in report_of(more).markdown()


def test_two_models_are_told_apart(tiny: Diagnosis) -> None:
    report = report_of(tiny, diagnosed("other", context="line", cell="elman"))
    text = report.markdown()
    assert text.startswith("# tiny and other on text.txt")
    assert text.count("**tiny**: ") == text.count("**other**: ") == 7
    assert "trained on whole lines" in text
    assert "different vocabularies" not in text
    assert "different vocabularies" in report_of(tiny, diagnosed("odd", vocab=ODD)).markdown()


def test_the_parts_of_pictures_have_room(tiny: Diagnosis, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = tuple(score(i, right) for i, right in enumerate((100, 100, 99)))
    found = [dataclasses.replace(tiny, name=f"a-name-of-some-length@{i}", agreement=scores) for i in range(3)]
    drawn = []

    def check(figure: Figure, _kind: str) -> bytes:
        assert_parts_have_room(figure)
        drawn.append(figure)
        return b""

    monkeypatch.setattr(report, "picture_bytes", check)
    dict(report_of(*found).files())
    assert len(drawn) == 7


def test_marks_of_models_that_are_alike_hide_none(tiny: Diagnosis) -> None:
    alike = [tiny, dataclasses.replace(tiny, name="again")]
    for section in (context_reach.SECTION, frequency.SECTION):
        assert section.picture
        with drawing():
            axes = section.picture(alike).axes[0]
        one, other = (line.get_xdata() for line in axes.lines if line.get_marker() in ("o", "s"))
        assert not set(np.asarray(one)) & set(np.asarray(other)), section.name


def test_the_panel_of_context_has_room_for_its_errors(tiny: Diagnosis) -> None:
    costs = tiny.context_reach.costs
    wide = dataclasses.replace(costs[0], standard_error=1.0)
    reach = dataclasses.replace(tiny.context_reach, costs=(wide, *costs[1:]))
    assert context_reach.SECTION.picture
    with drawing():
        axes = context_reach.SECTION.picture([dataclasses.replace(tiny, context_reach=reach)]).axes[0]
    low, high = axes.get_ylim()
    assert low < wide.perplexity * np.exp(-2) < wide.perplexity * np.exp(2) < high


def score(attractors: int, right: int) -> AgreementScore:
    return AgreementScore(attractors, 100, right, 10)


@pytest.mark.parametrize(
    ("first", "last", "meaning"),
    [
        (99, 98, "do not mislead it"),
        (99, 80, "less surely"),
        (90, 55, "no better than guessing"),
        (90, 20, "rather than the subject"),
    ],
)
def test_what_agreement_means(first: int, last: int, meaning: str, tiny: Diagnosis) -> None:
    found = dataclasses.replace(tiny, agreement=(score(0, first), score(3, last)))
    text = "\n".join(agreement.SECTION.words([found]))
    assert meaning in text
    assert f"| 3 | 100 | {last}.0 % (" in text
    assert "agreement.png" in dict(report_of(found).files())


def test_agreement_left_out_says_why(tiny: Diagnosis) -> None:
    assert "lacks 2" in agreement.SECTION.words([tiny])[0]  # about 250 words


def test_a_gradient_that_explodes(tiny: Diagnosis) -> None:
    reach = dataclasses.replace(tiny.gradient_reach, whole=tiny.gradient_reach.whole * 0 + 50.0, bptt_len=5)
    text = "\n".join(gradient_reach.SECTION.words([dataclasses.replace(tiny, gradient_reach=reach)]))
    assert "explodes" in text
    assert "`bptt_len` 5 is too short" in text


@pytest.mark.parametrize("lost", [0.0, np.nan])
def test_the_lines_of_gradients_are_named_at_their_ends(lost: float, tiny: Diagnosis) -> None:
    reach = tiny.gradient_reach
    low = np.append(reach.low[:-1], lost)
    broken = dataclasses.replace(reach, low=low, high=np.append(reach.high[:-1], lost), bptt_len=2)
    assert gradient_reach.SECTION.picture
    with drawing():
        figure = gradient_reach.SECTION.picture([tiny, dataclasses.replace(tiny, gradient_reach=broken)])
        picture_bytes(figure, "png")
    names = [{text.get_text().strip(" ↓") for text in axes.texts} for axes in figure.axes]
    assert names[0] >= {"whole state", "80 % of the losses", *reach.parts}
    assert "bptt_len 2" in names[1]
    assert all(axes.get_legend() is None for axes in figure.axes)


@pytest.mark.parametrize(
    ("gradient", "context", "meaning"),
    [
        (40, 10, "little is to be gained"),
        (40, 50, "a longer window is worth a try"),
        (8, 5, "as long as it need be"),
        (8, 50, "its state carries on"),
        (2, 5, "may be shorter"),
        (2, 50, "its state carries on"),
        (None, None, "a longer window is worth a try"),
    ],
)
def test_what_both_reaches_mean(
    gradient: int | None, context: int | None, meaning: str, tiny: Diagnosis
) -> None:
    norms = np.where(np.arange(1, 61) < (gradient or 99), 1.0, 0.001)
    reach = dataclasses.replace(tiny.gradient_reach, whole=norms, bptt_len=10)
    costs = tuple(
        ContextCost(k, 2.0, 1.0 if k and k < (context or 999) else 0.0, 0.1)
        for k in (1, 2, 5, 10, 20, 50, 100, 200, None)
    )
    found = dataclasses.replace(tiny, gradient_reach=reach, context_reach=ContextReach(9, costs))
    text = context_reach.reconciled(found)
    assert meaning in text
    assert text.count(".") == 1
    assert (
        f"{gradient or 'more than 60'} steps back and its context counts for {context or 'more than 200'}"
        in text
    )


def test_pieces_of_markdown(tmp_path: Path) -> None:
    assert [code(word) for word in ("the", "a|b", "a`b", "`")] == ["`the`", "`a\\|b`", "``a`b``", "`` ` ``"]
    assert [percent(x) for x in (0.2412, 0.0, 0.0042, 0.00001)] == ["24.1 %", "0.0 %", "0.42 %", "< 0.01 %"]
    assert [number(x) for x in (118.724, 12345.67, float("inf"))] == ["118.72", "12,345.7", "–"]
    assert table(["a", "b"], [["1", "2"]]) == ["| a | b |\n| --- | ---: |\n| 1 | 2 |"]
    assert per_model(["x"], ["found"]) == ["found"]
