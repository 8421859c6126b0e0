"""``lmtrain generate``: text on standard output, JSON with the prompt's unknown words, seeds."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from program import WORDS, Outcome, Trained, lmtrain


def generate(trained: Trained, *options: object) -> Outcome:
    outcome = lmtrain("generate", "runs/tiny", *options, folder=trained.folder)
    assert outcome.code == 0, outcome.err
    return outcome


def generated(trained: Trained, *options: object) -> dict[str, Any]:
    found = json.loads(generate(trained, "--json", *options).out)
    assert isinstance(found, dict)
    return found


def test_text(trained: Trained) -> None:
    outcome = generate(trained, "--num-words", 50)
    assert outcome.err == ""
    words = outcome.out.replace("\n", " <eos> ").split()
    assert len(words) == 50 + 1  # the command ends its output with a line end of its own
    assert set(words) <= {*WORDS, "<eos>"}
    assert "\n" in outcome.out.rstrip("\n")


def test_json(trained: Trained) -> None:
    found = generated(trained, "--prompt", "the old cat", "--num-words", 8, "--num-samples", 3, "--seed", 4)
    assert list(found) == ["prompt", "oov", "seed", "samples"]
    assert found["prompt"] == "the old cat"
    assert found["oov"] == []
    assert found["seed"] == 4
    assert len(found["samples"]) == 3
    for sample in found["samples"]:
        assert list(sample) == ["text", "log_prob", "num_tokens", "stopped_by"]
        assert sample["text"].startswith("the old cat")
        assert sample["log_prob"] < 0
        assert sample["num_tokens"] == 8
        assert sample["stopped_by"] == "num_words"


def test_samples_are_set_apart_by_an_empty_line(trained: Trained) -> None:
    options = ("--num-samples", 3, "--num-words", 6, "--prompt", "the")
    texts = [sample["text"] for sample in generated(trained, *options)["samples"]]
    assert generate(trained, *options).out == "\n\n".join(texts) + "\n"


def test_unknown_words_of_the_prompt_are_reported(trained: Trained) -> None:
    options = ("--prompt", "the unicorn  saw a cat", "--num-words", 5)
    outcome = generate(trained, *options)
    assert outcome.err == "unknown to the model, read as <unk>: unicorn a\n"
    assert outcome.out.startswith("the unicorn saw a cat")
    assert generated(trained, *options)["oov"] == ["unicorn", "a"]


def test_a_prompt_of_several_lines(trained: Trained) -> None:
    options = ("--greedy", "--num-words", 5)
    assert generate(trained, "--prompt", "the cat\nthe dog", *options).out.startswith("the cat\nthe dog")
    assert generate(trained, "--prompt", "the cat <eos> the dog", *options).out == (
        generate(trained, "--prompt", "the cat\nthe dog", *options).out
    )


def test_the_same_seed_gives_the_same_text(trained: Trained) -> None:
    assert generate(trained).out == generate(trained).out == generate(trained, "--seed", 1).out
    assert generate(trained).out != generate(trained, "--seed", 2).out


def test_a_sample_is_the_same_among_however_many(trained: Trained) -> None:
    few = generated(trained, "--num-samples", 2)["samples"]
    assert generated(trained, "--num-samples", 9)["samples"][:2] == few


@pytest.mark.parametrize("options", [("--top-k", 1), ("--top-p", 1e-9), ("--temperature", 1e-9)])
def test_no_room_for_chance_is_greedy(options: tuple[object, ...], trained: Trained) -> None:
    assert generate(trained, *options, "--seed", 7).out == generate(trained, "--greedy").out


def test_unk_only_if_allowed(trained: Trained) -> None:
    options = ("--num-words", 2000, "--temperature", 5)
    assert "<unk>" not in generate(trained, *options).out
    assert "<unk>" in generate(trained, *options, "--allow-unk").out


def test_options_reach_the_model(trained: Trained) -> None:
    plain = generate(trained).out
    filters = (("--top-k", 2), ("--top-p", 0.3), ("--min-p", 0.8), ("--temperature", 3))
    for options in (*filters, ("--snapshot", "last"), ("--beam", 2), ("--num-sentences", 1)):
        assert generate(trained, *options).out != plain
    assert len(set(generate(trained, "--top-k", 2, "--num-words", 9).out.split())) <= 9


def test_no_words_are_the_prompt_alone(trained: Trained) -> None:
    assert generate(trained, "--prompt", "the old", "--num-words", 0).out == "the old\n"


PROMPTS = b"the old cat\n\nthe unicorn\nthe old cat\n"


def lines_of(outcome: Outcome) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.out.splitlines()]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    (tmp_path / "prompts.txt").write_bytes(PROMPTS)
    return tmp_path / "prompts.txt"


def test_prompts_of_a_file(trained: Trained, prompts: Path) -> None:
    options = ("--num-samples", 2, "--num-words", 7)
    outcome = generate(trained, "--prompts", prompts, *options, "--json")
    assert outcome.err == f"{prompts}:3: unknown to the model, read as <unk>: unicorn\n"
    found = lines_of(outcome)
    assert [result["prompt"] for result in found] == PROMPTS.decode().splitlines()
    for result in found:
        alone = generated(trained, "--prompt", result["prompt"], *options)
        for sample, expected in zip(result["samples"], alone["samples"], strict=True):
            assert sample.pop("log_prob") == pytest.approx(expected.pop("log_prob"))
            assert sample == expected
    texts = [sample["text"] for result in found for sample in result["samples"]]
    assert generate(trained, "--prompts", prompts, *options).out == "\n\n".join(texts) + "\n"


def test_prompts_of_standard_input(trained: Trained, prompts: Path) -> None:
    outcome = lmtrain("generate", trained.run_dir, "--prompts", "-", "--json", stdin=PROMPTS)
    assert outcome.code == 0
    assert lines_of(outcome) == lines_of(generate(trained, "--prompts", prompts, "--json"))


def test_a_sentence_a_prompt_is_a_line_a_prompt(trained: Trained, prompts: Path) -> None:
    out = generate(trained, "--prompts", prompts, "--num-sentences", 1, "--num-samples", 3).out
    lines = out.removesuffix("\n").split("\n")
    assert len(lines) == 4 * 3
    assert all(line.startswith("the old cat") for line in lines[:3] + lines[9:])


def test_sentences(trained: Trained) -> None:
    (sample,) = generated(trained, "--num-sentences", 3)["samples"]
    assert sample["stopped_by"] == "num_sentences"
    assert sample["text"].count("\n") == 2  # the last line needs no end
    assert sample["num_tokens"] == len(sample["text"].split()) + 3
    (cut,) = generated(trained, "--num-sentences", 3, "--num-words", 2)["samples"]
    assert (cut["stopped_by"], cut["num_tokens"]) == ("num_words", 2)
    assert sample["text"].startswith(cut["text"])


def test_beam_search(trained: Trained) -> None:
    options = ("--prompt", "the old", "--beam", 6, "--num-sentences", 1, "--num-samples", 4)
    for penalty in (0.0, 1.0, 3.0):
        samples = generated(trained, *options, "--length-penalty", penalty)["samples"]
        scores = [sample["log_prob"] / sample["num_tokens"] ** penalty for sample in samples]
        assert len({sample["text"] for sample in samples}) == 4
        assert scores == sorted(scores, reverse=True)
    assert generated(trained, *options) == generated(trained, *options, "--length-penalty", 1)
    assert generate(trained, "--beam", 1).out == generate(trained, "--greedy").out


def test_detokenized(trained: Trained) -> None:
    options = ("--prompt", "the cat 's old dog did n't , -lrb- sat", "--num-words", 3)
    assert generate(trained, *options).out.startswith("the cat 's old dog did n't , -lrb- sat")
    assert generate(trained, *options, "--detokenize").out.startswith("the cat's old dog didn't, (sat")


@pytest.mark.parametrize(
    ("prompts", "message"),
    [(b"", "standard input: empty"), (b"the\n\xff\n", "standard input:2: not UTF-8")],
)
def test_prompts_that_are_none(prompts: bytes, message: str, trained: Trained) -> None:
    outcome = lmtrain("generate", trained.run_dir, "--prompts", "-", stdin=prompts)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.startswith(f"lmtrain: {message}")
    assert lmtrain("generate", trained.run_dir, "--prompts", "none.txt").code == 3


def test_interactive_without_a_terminal(trained: Trained) -> None:
    command = ("generate", trained.run_dir, "--interactive")
    outcome = lmtrain(*command, stdin=PROMPTS)
    assert outcome.code == 0
    expected = [
        generate(trained, "--prompt", p, "--num-sentences", 1).out for p in PROMPTS.decode().split("\n")
    ]
    assert outcome.out == "".join(expected[:-1])
    assert lmtrain(*command, stdin=b"") == Outcome(0, "", "")
    found = lines_of(lmtrain(*command, "--num-words", 5, "--json", stdin=PROMPTS))
    assert [result["samples"][0]["num_tokens"] for result in found] == [5] * 4


@pytest.mark.parametrize(("last", "code"), [(b"\x04", 0), (b"\x03", 130)])
def test_interactive_on_a_terminal(last: bytes, code: int, trained: Trained) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "lmtrain", "generate", str(trained.run_dir), "--interactive"]
    environment = {**os.environ, "TERM": "dumb"}
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
        preexec_fn=_take_terminal,
    ) as process:
        os.close(theirs)
        try:
            screen = _read_until(ours, b"> ")
            os.write(ours, b"the old cat\n")
            screen = _read_until(ours, b"> ")
            answer = generate(trained, "--prompt", "the old cat", "--num-sentences", 1).out.strip()
            assert screen.decode().splitlines() == ["the old cat", answer, "> "]
            os.write(ours, last)
            assert process.wait(60) == code
        finally:
            process.kill()  # one that waits for a line would be waited for without end
    os.close(ours)


def _take_terminal() -> None:
    """Makes the terminal that of the session, so that Ctrl-C reaches it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read_until(descriptor: int, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        found += os.read(descriptor, 1024)
    return found


def test_unknown_words_of_standard_input_are_named_with_its_line(trained: Trained) -> None:
    outcome = lmtrain(
        *("generate", trained.run_dir, "--prompts", "-", "--num-words", 1), stdin=b"the\nunicorn\n"
    )
    assert outcome.err == "standard input:2: unknown to the model, read as <unk>: unicorn\n"
