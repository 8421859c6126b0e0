"""Several models as one: the mean of their probabilities, by the definition."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from program import Trained, lmtrain

from lmtrain.errors import UsageError
from lmtrain.inference.adapt import Adaptation, Cache, Dynamic
from lmtrain.run.ensemble import Ensemble
from lmtrain.run.trained import TrainedModel, load_model

LINES = ["the old cat", "unicorn", "", "the dog sat and slept often"]


@pytest.fixture(scope="module")
def models(trained: Trained) -> list[TrainedModel]:
    return [load_model(trained.run_dir, step, "cpu") for step in ("9", "25")]


def by_hand(models: list[TrainedModel], adaptation: Adaptation) -> list[float]:
    lines = [models[0].rules.words(line, "here") for line in LINES]
    scorers = [model.scorer("stream", adaptation=adaptation) for model in models]
    first, second = (np.concatenate([line.nats for line in scorer.score(lines)]) for scorer in scorers)
    return [
        -math.log((math.exp(-a) + math.exp(-b)) / 2)
        for a, b in zip(first.tolist(), second.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    "adaptation", [Adaptation(), Adaptation(Cache(5)), Adaptation(Cache(5), Dynamic(every=2))], ids=str
)
def test_probabilities_are_averaged(
    adaptation: Adaptation, models: list[TrainedModel], tmp_path: Path
) -> None:
    expected = by_hand(models, adaptation)
    ensemble = Ensemble.of(models)
    scored = ensemble.scorer("stream", adaptation=adaptation).score([line.split() for line in LINES])
    assert np.concatenate([line.nats for line in scored]).tolist() == pytest.approx(expected, rel=1e-6)
    assert scored[1].scored_tokens == ["<unk>", "<eos>"]
    path = tmp_path / "text.txt"
    path.write_text("\n".join(LINES) + "\n")
    result = ensemble.evaluate(path, adaptation=adaptation)
    assert result.evaluation.nll_nats == pytest.approx(sum(expected), rel=1e-6)
    lines = [line.split() for line in LINES]
    future = ensemble.scorer("stream", adaptation=adaptation).score([*lines[:2], *reversed(lines[2:])])
    for line, other in zip(scored[:2], future, strict=False):  # what comes later has no say
        assert line.nats.tolist() == pytest.approx(other.nats.tolist(), rel=1e-6)
    alone = [model.evaluate(path, adaptation=adaptation).evaluation.perplexity for model in models]
    assert [member.evaluation.perplexity for member in result.members] == pytest.approx(alone, rel=1e-5)
    assert result.evaluation.perplexity < max(alone)
    assert f"|adapt:{adaptation}|ens:2({models[0].sha256[:8]},{models[1].sha256[:8]})|" in result.signature


def test_a_model_with_itself_is_itself(models: list[TrainedModel], trained: Trained) -> None:
    twice = Ensemble.of([models[0]] * 2).evaluate(trained.folder / "test.txt")
    alone = models[0].evaluate(trained.folder / "test.txt")
    assert twice.evaluation.nll_nats == pytest.approx(alone.evaluation.nll_nats, rel=1e-6)


def test_other_words_are_refused(models: list[TrainedModel], run_dir: Path) -> None:
    with pytest.raises(UsageError, match=r"another vocabulary .*\(\d+ and 11 words; '.*' is in the"):
        Ensemble.of([models[0], load_model(run_dir, None, "cpu")])


def test_of_the_command_line(trained: Trained) -> None:
    snapshots = [f"runs/tiny/snapshots/step-{step:08}" for step in (9, 25)]
    data = ("--data", "test.txt")
    both = json.loads(lmtrain("eval", *snapshots, *data, "--json", folder=trained.folder).out)
    assert [each["model"] for each in both] == [each["snapshot"] for each in both] == snapshots
    assert [each["vocab_size"] for each in both] == [11, 11]
    as_one = lmtrain("eval", *snapshots, *data, "--ensemble", "--json", folder=trained.folder)
    assert (as_one.code, as_one.err) == (0, "")
    found = json.loads(as_one.out)
    assert found["snapshot"] is None
    assert "|ens:2(" in found["signature"]
    assert [each["perplexity"] for each in found["ensemble"]] == pytest.approx(
        [each["perplexity"] for each in both]
    )
    shown = lmtrain("eval", *snapshots, *data, "--ensemble", folder=trained.folder).out
    assert f"{found['perplexity']:.4f}" in shown.splitlines()[0]
    assert snapshots[1] in shown


def test_side_by_side(trained: Trained, run_dir: Path) -> None:
    texts = ("--data", "test.txt", "--data", "valid.txt")
    outcome = lmtrain("eval", "runs/tiny", run_dir, *texts, folder=trained.folder)
    header, *rows = outcome.out.split("\n\n")[0].splitlines()
    assert header.split()[:4] == ["text", "model", "words", "tokens"]
    assert [row.split()[:2] for row in rows] == [
        [text, model] for text in ("test.txt", "valid.txt") for model in ("runs/tiny", str(run_dir))
    ]
    assert "the models know different words" in outcome.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ensemble"], "needs several models"),
        (["runs/tiny", "--ensemble", "--adapt", "cache", "--tune-on", "valid.txt"], "for one model"),
        (["runs/tiny", "--adapt", "cache", "--tune-on", "valid.txt", "--save-tuning", "x"], "name one"),
        (["runs/tiny", "--data", "-"], "standard input"),
    ],
)
def test_contradictions(options: list[str], message: str, trained: Trained) -> None:
    outcome = lmtrain("eval", "runs/tiny", "--data", "test.txt", *options, folder=trained.folder)
    assert outcome.code == 2
    assert message in outcome.err


def test_unknown_words_are_told_once_a_text(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "unknown.txt").write_text("unicorn unicorn\n")
    data = ("--data", tmp_path / "unknown.txt")
    outcome = lmtrain("eval", "runs/tiny", "runs/tiny", *data, folder=trained.folder)
    assert outcome.err.count("of the tokens are <unk>") == 1
