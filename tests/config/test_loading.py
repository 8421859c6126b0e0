import json
import subprocess
import sys
from pathlib import Path

import pytest
from effort import effort
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmtrain.config import config_from_dict, load_config, load_config_with_origins
from lmtrain.config.options import DropoutOptions
from lmtrain.config.yaml_text import MAX_BYTES
from lmtrain.errors import ConfigError

SMALLEST = "name: x\ndata: {train: a.txt}\ntrain: {epochs: 1}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("c.yaml")


def problems_of(file: Path, text: str, *overrides: str) -> list[str]:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_every_key_is_read(file: Path) -> None:
    file.write_text(
        """
        name: ptb-lstm-small
        seed: 7
        data: {train: [a.txt, b.txt], valid: v.txt, test: null, context: line, max_vocab: 10_000}
        """.replace("10_000", "10000")
        + """
        model: {cell: gru, dropout: {output: 0.5}, forget_gate_bias: null}
        train:
          max_steps: 100
          max_grad_norm: null
          optimizer: {name: adam, lr: 1e-3, betas: [0.8, 0.99]}
          schedule: {name: plateau}
          early_stopping: {patience: 3}
        evaluation: {every: 500}
        snapshots:
        """,
        encoding="utf-8",
    )
    config = load_config(file)
    assert config.name == "ptb-lstm-small"
    assert config.data.train == (Path("a.txt"), Path("b.txt"))
    assert config.data.valid == (Path("v.txt"),)
    assert config.data.test == ()
    assert config.data.max_vocab == 10_000
    assert config.model.dropout == DropoutOptions(output=0.5)
    assert config.train.optimizer.model_dump() == {
        "name": "adam",
        "lr": 0.001,
        "betas": (0.8, 0.99),
        "eps": 1e-8,
        "weight_decay": 0.0,
    }
    assert config.train.schedule.model_dump() == {"name": "plateau", "factor": 0.25, "patience": 0}
    assert config.train.early_stopping is not None
    assert config.train.early_stopping.patience == 3
    assert config.evaluation.every == 500
    assert config.snapshots.keep == 3


def test_all_problems_come_at_once_from_top_to_bottom(file: Path) -> None:
    text = """\
name: a/b
hidden_size: 3
data:
  valid: [v.txt, 3]
  test: *x
model:
  hiden_size: 20
  layers: 3
  num_layers: 2
  num_layers: 3
  cell: lsmt
  dropout: 1.5
  tie_weights: true
  embedding_dim: 100
  softmax: sample
  init_range: .inf
  freeze_embedding: yes
train:
  hidden_size: 3
  epochs: 3
  max_steps: 5
  batch_size: "20"
  bptt_len: 20.0
  optimizer: {name: adm, lr: -1, momentum: 0.9}
  early_stopping: {patience: 0}
evaluation: {every: 0}
snapshots: {keep: true}
2: 3
"""
    overrides = (
        "seed",
        "model.cel=gru",
        "seed=[",
        "seed=-1",
        "model.dropout.output=1",
        "train.precision=half",
    )
    assert problems_of(file, text, *overrides) == [
        'c.yaml:1: name: does not fit (got "a/b"); allowed: '
        "a folder's name: letters, digits, '.', '_', '-', not starting with '.' or '-'",
        "c.yaml:2: hidden_size: unknown key; it belongs under model",
        "c.yaml:3: data.train: missing; allowed: a path or a list of at least 1, each item a path",
        "c.yaml:4: data.valid[1]: of the wrong kind (got 3); allowed: a path",
        'c.yaml:5: data.test: the alias "x" is not followed; write the value out',
        "c.yaml:7: model.hiden_size: unknown key; did you mean 'hidden_size'?",
        "c.yaml:8: model.layers: unknown key; did you mean 'num_layers'? "
        "('layers' itself belongs under model.dropout)",
        "c.yaml:10: model.num_layers: given twice, first at c.yaml:9; keep one",
        'c.yaml:11: model.cell: unknown choice (got "lsmt"); allowed: elman, concat_elman, lstm, gru, '
        "mogrifier, sru",
        "c.yaml:12: model.dropout: too large (got 1.5); "
        "allowed: a number >= 0 and < 1 or a mapping with input, layers, output, words, "
        "recurrent, latent, locked",
        "c.yaml:13: model.tie_weights: tied weights need embedding_dim and hidden_size to be equal "
        "(got 100 and 200)",
        'c.yaml:15: model.softmax: unknown choice (got "sample"); allowed: full, adaptive, sampled, mixture',
        "c.yaml:16: model.init_range: not a finite number (got Infinity); allowed: a number > 0",
        'c.yaml:17: model.freeze_embedding: of the wrong kind (got "yes"); allowed: true or false',
        "c.yaml:19: train.hidden_size: unknown key; it belongs under model",
        "c.yaml:21: train.max_steps: both epochs and max_steps are given; set one to null "
        "(--set train.epochs=null)",
        'c.yaml:22: train.batch_size: of the wrong kind (got "20"); allowed: a whole number > 0',
        "c.yaml:23: train.bptt_len: of the wrong kind (got 20.0); allowed: a whole number > 0",
        'c.yaml:24: train.optimizer.name: unknown choice (got "adm"); allowed: sgd, adam, adamw',
        "c.yaml:24: train.optimizer.lr: too small (got -1); allowed: a number > 0",
        "c.yaml:24: train.optimizer.momentum: unknown key; allowed: name, lr, betas, eps, weight_decay",
        "c.yaml:25: train.early_stopping.patience: too small (got 0); allowed: a whole number > 0",
        "c.yaml:26: evaluation.every: does not fit (got 0); allowed: epoch or a whole number > 0",
        "c.yaml:27: snapshots.keep: of the wrong kind (got true); allowed: a whole number > 0",
        "c.yaml:28: a key must be text (got 2); quote it",
        "--set seed: write it as key.path=value, such as train.batch_size=40",
        "--set seed=[: seed: not YAML: while parsing a flow node, expected the node content, "
        "but found '<stream end>'",
        "--set model.dropout.output=1: model.dropout: has no keys, it is 1.5; set it as a whole",
        "--set seed=-1: seed: too small (got -1); allowed: a whole number >= 0",
        "--set model.cel=gru: model.cel: unknown key; did you mean 'cell'?",
        '--set train.precision=half: train.precision: unknown choice (got "half"); '
        "allowed: float32, bfloat16",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("learning_rate: 1", "unknown key; allowed: name, seed, data, "),
        ("modle: {cell: gru}", "unknown key; did you mean 'model'?"),
        ("model.cell: gru", '"model.cell": unknown key; it belongs under model'),
        ("hiddn_size: 3", "unknown key; did you mean 'model.hidden_size'?"),
        ("momentum: 0.9", "it belongs under train.optimizer"),
        ("every: 3", "it belongs under evaluation or under snapshots or under logging"),
        ("model: {seed: 3}", "it belongs at the top level"),
        ("model: lstm", 'model: of the wrong kind (got "lstm"); allowed: a mapping with cell, '),
        ("model: {dropout: true}", "model.dropout: of the wrong kind (got true)"),
        ("model: {dropout: {output: .nan}}", "model.dropout.output: not a finite number (got NaN)"),
        ("model: {embedding_dim: true}", "embedding_dim: of the wrong kind (got true)"),
        ("model: {pretrained_embedding: ''}", 'names no file (got ""); allowed: a path or null'),
        ("model: {adaptive: {cutoffs: [5, 5]}}", "model.adaptive.cutoffs: not ascending (got [5, 5])"),
        ("model: {adaptive: {cutoffs: [0]}}", "model.adaptive.cutoffs[0]: too small (got 0)"),
        ("model: {sampled: {num_samples: 0}}", "model.sampled.num_samples: too small (got 0)"),
        ("data: {train: []}", "data.train: too few items (got [])"),
        ("data: {train: a, valid: {b: c}}", 'data.valid: of the wrong kind (got {"b": "c"})'),
        ("train: {epochs: -0.5}", "train.epochs: does not fit (got -0.5); allowed: a number > 0 or null"),
        ("train: {epochs: 1, optimizer: {lr: 1}}", "train.optimizer.name: missing; allowed: sgd, adam"),
        ("train: {epochs: 1, optimizer: {name: [1]}}", "optimizer.name: unknown choice (got [1])"),
        ("train: {epochs: 1, optimizer: adam}", "allowed: a mapping with name: sgd, adam, adamw"),
        ("train: {epochs: 1, optimizer: {name: adam, betas: [0.5]}}", "optimizer.betas[1]: missing"),
        ("train: {epochs: 1, schedule: {name: step_decay}}", "schedule.constant_epochs: missing"),
        ("seed: 1e400", "seed: of the wrong kind (got Infinity)"),
        (f"name: {'x' * 200}", "name: too long"),
        ("name: ../x", "name: does not fit"),
        ("name: -x", "name: does not fit"),
        ("name: 1e-3", "name: of the wrong kind (got 0.001)"),
    ],
)
def test_one_problem_is_told_in_plain_words(file: Path, line: str, problem: str) -> None:
    key = line.partition(":")[0]
    others = "".join(f"{rest}\n" for rest in SMALLEST.splitlines() if not rest.startswith(f"{key}:"))
    problems = problems_of(file, others + line)
    assert len(problems) == 1
    assert problems[0].startswith(f"c.yaml:{others.count(chr(10)) + 1}: ")
    assert problem in problems[0]


def test_a_decimal_comma_is_told_the_point(file: Path) -> None:
    [problem] = problems_of(file, SMALLEST + "model:\n  init_range: 0,05\n")
    assert problem.endswith("allowed: a number > 0; decimals take a point: 0.05")


def test_what_hangs_together_with_a_fault_is_not_blamed_on_top_of_it(file: Path) -> None:
    text = SMALLEST.replace("epochs: 1", "epochs: ten") + "model: {forget_gate_bias: 1, cell: grru}\n"
    assert [line.split(": ")[1] for line in problems_of(file, text)] == ["train.epochs", "model.cell"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "c.yaml:1: a config is a mapping of keys to values, this is an empty file"),
        (b"- 1\n- 2\n", "c.yaml:1: a config is a mapping of keys to values, this is [1, 2]"),
        (b"name: x\nseed: \xff\n", "c.yaml:2: not UTF-8 (byte 0xff)"),
        ("name: x".encode("utf-16"), "c.yaml:1: not UTF-8 (byte 0xff)"),
        (b"name: x\x00", "c.yaml:1: not YAML: the character U+0000 may not be in it"),
        (b"a" * (MAX_BYTES + 1), f"c.yaml: more than {MAX_BYTES // 1024} KiB: this is no config"),
        (b"a: b\n" * 2_000_000, f"c.yaml: more than {MAX_BYTES // 1024} KiB: this is no config"),
    ],
)
def test_a_file_that_is_no_config(file: Path, content: bytes, problem: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert caught.value.problems == [problem]


@pytest.mark.parametrize("name", ["missing.yaml", "-", ".", "nul\0.yaml"])
def test_a_file_that_cannot_be_read(file: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read: "):
        load_config(Path(name))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\n" + "".join(f"k{i}: &k{i} [*a, *a, *a]\n" for i in range(2000)),
        "".join(f"key{i}: v\n" for i in range(4000)),
        "model:\n" + "".join(f"  hidden_sizes{i}: v\n" for i in range(4000)),
        "".join(f"? {'hidden_size' * 1000}{i}\n: v\n" for i in range(20)),
        f"data: {{train: [{'1, ' * 9000}]}}",
        "a: " + "x\n " * 80_000,
    ],
)
def test_hostile_files_are_refused_at_once(file: Path, text: str) -> None:
    with effort() as made:
        problems = problems_of(file, text)
    assert made.calls < 3_000_000
    assert len(problems) <= 101
    assert all(len(problem) < 400 for problem in problems)


def test_a_config_is_read_without_torch() -> None:
    code = "import sys, lmtrain.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_overrides_win_and_make_their_sections(file: Path) -> None:
    file.write_text(SMALLEST, encoding="utf-8")
    config = load_config(
        file,
        [
            "seed=3",
            "seed=4",
            "model.dropout.output=0.5",
            "data.train=[b.txt, c=d.txt]",
            "train.optimizer={name: adam}",
            "train.optimizer.lr=1e-4",
            "train.epochs=",
            "train.max_steps=7",
        ],
    )
    assert config.seed == 4
    assert config.model.dropout.output == 0.5
    assert config.data.train == (Path("b.txt"), Path("c=d.txt"))
    assert config.train.optimizer.lr == 1e-4
    assert (config.train.epochs, config.train.max_steps) == (None, 7)


def test_origins_name_file_line_override_or_default(file: Path) -> None:
    file.write_text(SMALLEST + "model: {dropout: 0.5}\nlogging:\n", encoding="utf-8")
    overrides = ["train.optimizer={name: sgd}", "snapshots.keep=9", "train.early_stopping="]
    config, origins = load_config_with_origins(file, overrides)
    assert list(origins)[:4] == ["name", "seed", "data.train", "data.valid"]
    assert list(origins)[-3:] == ["snapshots.keep", "logging.every", "logging.samples"]
    assert {key: origin for key, origin in origins.items() if origin != "default"} == {
        "name": "c.yaml:1",
        "data.train": "c.yaml:2",
        "train.epochs": "c.yaml:3",
        "model.dropout.input": "c.yaml:4",
        "model.dropout.layers": "c.yaml:4",
        "model.dropout.output": "c.yaml:4",
        "model.dropout.words": "c.yaml:4",
        "model.dropout.recurrent": "c.yaml:4",
        "model.dropout.latent": "c.yaml:4",
        "model.dropout.locked": "c.yaml:4",
        "train.optimizer.name": "--set",
        "train.early_stopping": "--set",
        "snapshots.keep": "--set",
    }
    assert config.snapshots.keep == 9


def test_config_from_dict_takes_what_to_dict_gives(file: Path) -> None:
    file.write_text(SMALLEST, encoding="utf-8")
    config = load_config(file)
    values = json.loads(json.dumps(config.to_dict()))
    assert config_from_dict(values, "snapshot.json") == config
    del values["name"]
    values["model"]["size"] = 3
    before = json.dumps(values)
    with pytest.raises(ConfigError) as caught:
        config_from_dict(values, "snapshot.json")
    assert [line.partition(";")[0] for line in caught.value.problems] == [
        "snapshot.json: name: missing",
        "snapshot.json: model.size: unknown key",
    ]
    assert json.dumps(values) == before


KEYS = ["name", "data", "train", "model", "dropout", "optimizer", "schedule", "lr", "betas", "epochs"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*KEYS, "sgd", "plateau"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=4)
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS[:4], VALUES)))
def test_no_mapping_ends_in_anything_but_a_config_or_problems(file: Path, values: dict[str, object]) -> None:
    file.write_text(json.dumps(values), encoding="utf-8")
    problems = []
    try:
        load_config(file)
    except ConfigError as error:
        problems = error.problems
    assert all(line.startswith("c.yaml:1: ") and line.isprintable() for line in problems)
