"""Exit codes are a contract with other programs, and the tree of faults is drawn as it is."""

import re
import signal

import pytest

from lmtrain import errors
from lmtrain.errors import ConfigError, Interrupted, LmtrainError

CODES = {
    "LmtrainError": 1,
    "UsageError": 2,
    "ConfigError": 2,
    "DataError": 3,
    "NotTextError": 3,
    "ModelError": 4,
    "DamagedSnapshotError": 4,
    "DivergenceError": 5,
    "StorageError": 6,
    "UnreachableError": 6,
    "LostProcessError": 6,
}


def _family(kind: type[LmtrainError]) -> list[type[LmtrainError]]:
    return [kind, *(member for child in kind.__subclasses__() for member in _family(child))]


def test_exit_codes() -> None:
    assert {kind.__name__: kind.exit_code for kind in _family(LmtrainError)} == CODES


def test_the_docstring_draws_the_tree() -> None:
    drawn = re.findall(r"^    ([│├└─ ]*)(\w+) +(\d+)", errors.__doc__ or "", re.MULTILINE)
    assert {name: int(code) for _, name, code in drawn} == {**CODES, "Interrupted": 129}
    depths = {name: len(branch) // 4 for branch, name, _ in drawn}
    root = len(LmtrainError.__mro__)
    assert depths == {"Interrupted": 0, **{k.__name__: len(k.__mro__) - root for k in _family(LmtrainError)}}


def test_libraries_that_catch_exceptions_do_not_catch_an_interruption() -> None:
    assert not issubclass(Interrupted, Exception)


def test_a_config_error_lists_every_problem() -> None:
    error = ConfigError(["a.yaml:1: seed: missing", "a.yaml:2: name: missing"])
    assert error.problems == ["a.yaml:1: seed: missing", "a.yaml:2: name: missing"]
    assert str(error).splitlines() == [
        "the config does not hold:",
        "  a.yaml:1: seed: missing",
        "  a.yaml:2: name: missing",
    ]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interruption_exits_as_shells_expect(number: signal.Signals, code: int) -> None:
    assert Interrupted("stopped", number).exit_code == code
