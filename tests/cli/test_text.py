"""How the commands write numbers."""

import json
import math

import pytest

from lmtrain.cli.text import duration, print_json, print_json_line, print_pairs, size


def test_json_has_null_for_what_it_cannot_write(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": math.inf, "b": [math.nan, 1.5, {"c": -math.inf}], "d": "café", "e": None, "f": True})
    written = capsys.readouterr().out
    assert "café" in written
    expected = {"a": None, "b": [None, 1.5, {"c": None}], "d": "café", "e": None, "f": True}
    assert json.loads(written) == expected


def test_a_json_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json_line({"a": [1, math.nan], "b": "caf\u00e9\n"})
    assert capsys.readouterr().out == '{"a": [1, null], "b": "caf\u00e9\\n"}\n'


def test_pairs_stand_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_pairs([("a", 1), ("long name", "two words")])
    assert capsys.readouterr().out == "a          1\nlong name  two words\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1:00"),
        (185, "3:05"),
        (3599.6, "1:00:00"),
        (3723, "1:02:03"),
        (360_000, "100:00:00"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 kB"),
        (1234, "1 kB"),
        (999_000, "999 kB"),
        (999_600, "1.0 MB"),
        (12_345_678, "12.3 MB"),
        (999_400_000, "999.4 MB"),
        (999_600_000, "1.0 GB"),
        (83_000_000_000, "83.0 GB"),
        (1_234_000_000_000, "1,234.0 GB"),
    ],
)
def test_size(num_bytes: float, text: str) -> None:
    assert size(num_bytes) == text
