"""``lmtrain import`` and ``lmtrain convert``: away and back again, and what others made."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from program import WORDS, Trained, files_in, lmtrain
from torch import nn

from lmtrain.run.trained import load_model

TEXT = b"the old cat saw the unicorn\n\nthe dog slept\n"


def scores(model: Path, folder: Path) -> str:
    outcome = lmtrain("score", model, "-", "--extended", folder=folder, stdin=TEXT)
    assert outcome.code == 0
    return outcome.out


def a_folder(path: Path, words: str, **weights: torch.Tensor) -> Path:
    """As others have them: weights of an LSTM and a list of words."""
    path.mkdir()
    (path / "words.txt").write_text(words)
    model = nn.ModuleDict(
        {"encoder": nn.Embedding(5, 4), "rnn": nn.LSTM(4, 6), "decoder": nn.Linear(6, 5)}
    ).state_dict()
    safetensors.torch.save_file({**model, **weights}, path / "weights.safetensors")
    return path


def test_away_and_back_again(trained: Trained, tmp_path: Path) -> None:
    out = ("--format", "safetensors", "--out", tmp_path / "away")
    assert lmtrain("export", trained.run_dir, *out, folder=tmp_path).code == 0
    outcome = lmtrain("import", "away", "--out", "back", folder=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert "lstm" in outcome.out
    assert scores(tmp_path / "back", tmp_path) == scores(trained.run_dir, tmp_path)
    theirs, ours = load_model(trained.run_dir), load_model(tmp_path / "back")
    assert (ours.vocab, ours.rules) == (theirs.vocab, theirs.rules)
    assert (ours.config.name, ours.snapshot.step) == (theirs.config.name, theirs.snapshot.step)
    about = lmtrain("info", "back", folder=tmp_path).out
    assert "began from" in about
    assert "away/model.safetensors" in about
    assert lmtrain("generate", "back", "--num-words", 3, folder=tmp_path).code == 0


def test_an_imported_model_is_trained_on(trained: Trained, tmp_path: Path) -> None:
    export = ("export", trained.run_dir, "--format", "safetensors", "--out", tmp_path / "away")
    assert lmtrain(*export, folder=tmp_path).code == 0
    assert lmtrain("import", "away", "--out", "back", folder=tmp_path).code == 0
    config = ("train", "--config", "config.yaml", "--run-dir", tmp_path / "on")
    short = ("--set", "train.epochs=null", "--set", "train.max_steps=1")
    begun = lmtrain(*config, *short, "--from", tmp_path / "back", folder=trained.folder)
    assert begun.code == 0, begun.err
    elsewhere = (*config[:-1], tmp_path / "other", "--resume", tmp_path / "back")
    refused = lmtrain(*elsewhere, folder=trained.folder)
    assert (refused.code, "differs from this one" in refused.err) == (2, True)


def test_the_order_of_a_list_stays_that_of_a_list(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("".join(f"{word}\n" for word in ("zebra", *WORDS, "<unk>", "</s>")))
    train = ("train", "--config", "config.yaml", "--run-dir", tmp_path / "listed", "--set", "train.epochs=1")
    outcome = lmtrain(*train, "--set", f"data.vocab={tmp_path / 'words.txt'}", folder=trained.folder)
    assert outcome.code == 0, outcome.err
    for name, run_dir, is_by_frequency in (("a", tmp_path / "listed", False), ("b", trained.run_dir, True)):
        export = ("export", run_dir, "--format", "safetensors", "--out", name)
        assert lmtrain(*export, folder=tmp_path).code == 0
        assert lmtrain("import", name, "--out", f"{name}-back", folder=tmp_path).code == 0
        model = load_model(tmp_path / f"{name}-back")
        assert model.vocab.is_by_frequency is is_by_frequency
        assert len(model.evaluate(trained.folder / "valid.txt").evaluation.bands()) == 4 - 2 * (name == "a")


def test_files_that_were_changed_are_refused(trained: Trained, tmp_path: Path) -> None:
    export = ("export", trained.run_dir, "--format", "safetensors", "--out", "away")
    assert lmtrain(*export, folder=tmp_path).code == 0
    away = tmp_path / "away"
    for name in ("model.safetensors", "vocab.txt"):
        whole = (away / name).read_bytes()
        changed = whole.replace(b"cat", b"car") if name == "vocab.txt" else whole[:-1] + b"x"
        (away / name).write_bytes(changed)
        refused = lmtrain("import", "away", "--out", "back", folder=tmp_path)
        assert (refused.code, f"away/{name}: not the file that config.json" in refused.err) == (4, True)
        assert not (tmp_path / "back").exists()
        about = json.loads((away / "config.json").read_text())
        del about["sha256"][name]
        kept = (away / "config.json").read_bytes()
        (away / "config.json").write_text(json.dumps(about))
        assert lmtrain("import", "away", "--out", f"back-{name}", folder=tmp_path).code == 0
        is_by_frequency = load_model(tmp_path / f"back-{name}").vocab.is_by_frequency
        assert is_by_frequency is (name == "model.safetensors")  # of other words it is not known
        (away / "config.json").write_bytes(kept)
        (away / name).write_bytes(whole)


def test_weights_of_others(tmp_path: Path) -> None:
    a_folder(tmp_path / "theirs", "<blank>\nthe\ncat\n[UNK]\n<sos/eos>\n")
    outcome = lmtrain(
        *(
            "import",
            "theirs",
            "--out",
            "ours",
            "--name",
            "cat",
            "--lowercase",
            "--tokenizer",
            "penn",
            "--json",
        ),
        folder=tmp_path,
    )
    about = json.loads(outcome.out)
    assert (about["name"], about["vocab_size"], about["step"]) == ("cat", 5, 0)
    assert about["text_rules"] == "penn+lower"
    assert about["config"]["data"]["vocab"] == "theirs/words.txt"
    assert files_in(tmp_path / "ours")["vocab.txt"] == b"<blank>\nthe\ncat\n<unk>\n<eos>\n"
    assert "\tthe\t" in scores(tmp_path / "ours", tmp_path)


def test_words_may_lie_elsewhere_and_be_called_otherwise(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "theirs", "wrong\n")
    (tmp_path / "list").write_text("? 4\n. 3\nthe 0\ncat 1\ndog 2\n")
    named = ("--vocab", "list", "--unk", "?", "--eos", ".")
    outcome = lmtrain("import", folder / "weights.safetensors", *named, "--out", "ours", folder=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert load_model(tmp_path / "ours").vocab.words == ("the", "cat", "dog", "<eos>", "<unk>")


def test_a_pt_file_is_converted(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "theirs", "a\nb\nc\n<unk>\n<eos>\n")
    whole = safetensors.torch.load_file(folder / "weights.safetensors")
    (folder / "weights.safetensors").unlink()
    torch.save(whole, folder / "model.pt")
    refused = lmtrain("import", "theirs", "--out", "ours", folder=tmp_path)
    assert (refused.code, "lmtrain convert makes one of model.pt" in refused.err) == (4, True)
    convert = ("convert", "theirs/model.pt", "--out", "theirs/model.safetensors")
    assert lmtrain(*convert, folder=tmp_path).code == 0
    assert safetensors.torch.load_file(folder / "model.safetensors").keys() == whole.keys()
    assert lmtrain("import", "theirs", "--out", "ours", folder=tmp_path).code == 0
    again = lmtrain(*convert, folder=tmp_path)
    assert (again.code, "nothing is overwritten" in again.err) == (2, True)
    torch.save({"weights": whole}, folder / "more.pt")
    more = lmtrain("convert", "theirs/more.pt", "--out", "more.safetensors", folder=tmp_path)
    assert (more.code, "'weights' is of type dict, and no tensor" in more.err) == (4, True)
    assert not (tmp_path / "more.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "options", "code", "message"),
    [
        ("a\n<unk>\n<eos>\n", (), 4, "an embedding of 5 words, where theirs/words.txt has 3"),
        ("a\nb\nc\nd\n<eos>\n", (), 3, "words.txt: none of <unk>, .* and a model needs an unknown word"),
        ("a\nb\nc\n<unk>\n<eos>\n", ("--vocab", "none"), 3, "none: no such file"),
        ("a\nb\nc\n<unk>\n<eos>\n", ("--name", "a/b"), 4, "name: "),
        ("a\nb\nc\n<unk>\n<eos>\n", ("--out", "theirs"), 2, "holds files already"),
    ],
)
def test_what_is_refused(words: str, options: Any, code: int, message: str, tmp_path: Path) -> None:
    a_folder(tmp_path / "theirs", words)
    out = () if "--out" in options else ("--out", "ours")
    outcome = lmtrain("import", "theirs", *out, *options, folder=tmp_path)
    assert outcome.code == code
    assert re.search(message, outcome.err), outcome.err
    assert not (tmp_path / "ours").exists()


def test_files_that_are_missing_or_too_many(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "theirs", "a\nb\nc\n<unk>\n<eos>\n")
    (folder / "other.safetensors").write_bytes(b"no such file")
    refused = lmtrain("import", "theirs", "--out", "ours", folder=tmp_path)
    assert (refused.code, "holds 2 files of weights" in refused.err) == (2, True)
    (folder / "weights.safetensors").unlink()
    refused = lmtrain("import", "theirs", "--out", "ours", folder=tmp_path)
    assert (refused.code, "cannot be read as safetensors" in refused.err) == (4, True)
    (folder / "other.safetensors").unlink()
    refused = lmtrain("import", "theirs", "--out", "ours", folder=tmp_path)
    assert (refused.code, "no .safetensors file is there" in refused.err) == (4, True)
    a_folder(tmp_path / "wordless", "")
    (tmp_path / "wordless" / "words.txt").unlink()
    refused = lmtrain("import", "wordless", "--out", "ours", folder=tmp_path)
    assert (refused.code, "name the words with --vocab" in refused.err) == (2, True)
    (tmp_path / "wordless" / "config.json").write_text('{"lmtrain_version": "1", "format_version": 99}')
    (tmp_path / "wordless" / "vocab.txt").write_text("a\nb\nc\n<unk>\n<eos>\n")
    refused = lmtrain("import", "wordless", "--out", "ours", folder=tmp_path)
    assert (refused.code, "written in a newer format" in refused.err) == (4, True)
    (tmp_path / "wordless" / "config.json").write_text('{"activation": "gelu"}')  # another program's
    assert lmtrain("import", "wordless", "--out", "ours", folder=tmp_path).code == 0
