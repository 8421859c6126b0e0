"""``lmtrain generate``: text on standard output, JSON with the prompt's unknown words, seeds."""

import json
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
        assert list(sample) == ["text"]
        assert sample["text"].startswith("the old cat")


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
    for options in (("--top-k", 2), ("--top-p", 0.3), ("--temperature", 3), ("--snapshot", "last")):
        assert generate(trained, *options).out != plain
    assert len(set(generate(trained, "--top-k", 2, "--num-words", 9).out.split())) <= 9


def test_no_words_are_the_prompt_alone(trained: Trained) -> None:
    assert generate(trained, "--prompt", "the old", "--num-words", 0).out == "the old\n"
