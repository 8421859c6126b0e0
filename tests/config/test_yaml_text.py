import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.config.problems import Place
from lmtrain.config.yaml_text import (
    MAX_DEPTH,
    MAX_VALUES,
    Findings,
    UnreadableYamlError,
    dump_yaml,
    parse_yaml,
)

CONTROL = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))]
TEXT = st.text(st.characters(exclude_characters=CONTROL, exclude_categories=["Cs"]))


def parse(text: str) -> tuple[object, Findings]:
    findings = Findings()
    return parse_yaml(text, lambda line: Place("c.yaml", line), (), findings), findings


def value_of(text: str) -> object:
    value, findings = parse(text)
    assert not findings.problems
    return value


def problems_of(text: str) -> list[str]:
    try:
        _, findings = parse(text)
    except UnreadableYamlError as error:
        return [str(error)]
    return [str(problem) for problem in findings.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("1e+5", 1e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0.25", -0.25),
        ("20", 20),
        ("+20", 20),
        ("012", 12),
        ("0o14", 12),
        ("0xfF", 255),
        ("9223372036854775807", 2**63 - 1),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'20'", "20"),
        ('"null"', "null"),
        ("-.INF", -math.inf),
    ],
)
def test_plain_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    read = value_of(f"key: {text}")
    assert read == {"key": value}
    assert isinstance(read, dict)
    assert type(read["key"]) is type(value)


def test_not_a_number_is_read_as_such() -> None:
    value = value_of(".nan")
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "off",
        "yes",
        "No",
        "y",
        "1:30",
        "2001-01-01",
        "1_000",
        "0b1",
        "nan",
        "inf",
        "tRUE",
        "-0x1",
        "e3",
        "=",
    ],
)
def test_what_only_yaml_1_1_takes_for_something_else_is_text(text: str) -> None:
    assert value_of(text) == text


def test_places_are_lines_of_keys_and_items() -> None:
    _, findings = parse("# comment\na:\n  b:\n    - 1\n    -\n      2\nc: {d: 1,\n  e: 2}\n")
    assert {key: place.line for key, place in findings.places.items()} == {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "b", 0): 4,
        ("a", "b", 1): 6,
        ("c",): 7,
        ("c", "d"): 7,
        ("c", "e"): 8,
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2", "c.yaml:4: b.c: given twice, first at c.yaml:3; keep one"),
        ("a: !!python/object:os.system x", 'a: the tag "!!python/object:os.system" is not read'),
        ("a: !!str 1", 'a: the tag "!!str" is not read'),
        ("a: ! 1", 'a: the tag "!" is not read'),
        ("a:\n- !x {b: 1}", 'c.yaml:2: a[0]: the tag "!x" is not read'),
        ("!x {a: 1}", 'c.yaml:1: the tag "!x" is not read'),
        ("a: &x 1\nb: *x", 'c.yaml:2: b: the alias "x" is not followed; write the value out'),
        ("a: &x {c: 1}\nb:\n  <<: *x", 'c.yaml:3: b.<<: the alias "x" is not followed'.replace("<<", '"<<"')),
        ("a: 1\n2: 3", "c.yaml:2: a key must be text (got 2); quote it"),
        ("a:\n  true: 3", "c.yaml:2: a: a key must be text (got true)"),
        ("? [a]\n: 3", 'c.yaml:1: a key must be text (got ["a"])'),
        ("a: 1\n---\nb: 2", "c.yaml:2: a second document begins here"),
        ("a:\n\tb: 1", "c.yaml:2: not YAML: a tab"),
        ("a: 1\nb: [1,\n\nc: 2", "c.yaml:4: not YAML: "),
        ("a: 1\nb: 'x\n\n", "found unexpected end of stream (begun on line 2)"),
        ("a: 1\n b: 2", "c.yaml:2: not YAML: mapping values are not allowed here"),
        ("a: *x", 'c.yaml:1: a: the alias "x" is not followed'),
        ("a: 1\nb: \x00", "c.yaml:2: not YAML: the character U+0000 may not be in it"),
        ("%YAML 3.0\n---\na: 1", "c.yaml:1: not YAML: found incompatible YAML document"),
        ("a: |\n  x\n  y\n", "c.yaml:1: a: line breaks and control characters have no use here"),
        ('a: "\\0"', "c.yaml:1: a: line breaks and control characters"),
        ('a: "\\ud800"', "c.yaml:1: a: line breaks and control characters"),
        ("a: 9223372036854775808", "c.yaml:1: a: a whole number of more than 64 bits"),
        (f"a: {'9' * 5000}", "c.yaml:1: a: a whole number of more than 64 bits"),
        ("[" * 100_000, f"c.yaml:1: nested more than {MAX_DEPTH} deep"),
        ("- " * 100_000, f"c.yaml:1: nested more than {MAX_DEPTH} deep"),
        ("-\n" * 100_000, f"c.yaml:{MAX_VALUES}: more than {MAX_VALUES} values"),
        ("x: {y: [" + "1," * 100_000, f"c.yaml:1: more than {MAX_VALUES} values"),
    ],
)
def test_bad_yaml_is_one_problem_with_its_line(text: str, problem: str) -> None:
    problems = problems_of(text)
    assert len(problems) == 1
    assert problem in problems[0]


def test_reading_goes_on_after_a_refused_value() -> None:
    value, findings = parse("a: !x 1\nb: 2\nb: 3\nc: [*d, 4]")
    assert value == {"a": None, "b": 2, "c": [None, 4]}
    assert findings.unread == {("a",), ("c", 0)}
    assert [problem.place.line for problem in findings.problems] == [1, 3, 4]


@given(
    st.recursive(
        TEXT | st.integers(-(2**62), 2**62) | st.booleans() | st.none() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_is_dumped_reads_back_the_same(value: object) -> None:
    read = value_of(dump_yaml({"key": value}))
    assert read == {"key": value}
    assert repr(read) == repr({"key": value})


@pytest.mark.parametrize("text", ["1e-3", "0o7", "1E5", ".5", "012", "on", "null", "~", "1:30", "=", "<<"])
def test_text_that_looks_like_something_else_is_dumped_as_text(text: str) -> None:
    assert value_of(dump_yaml({"key": text})) == {"key": text}
    assert yaml.safe_load(dump_yaml({"key": text})) == {"key": text}


@given(st.text(alphabet="ab1:{}[],-?!&*#'\"\n \t|>%@`~<\\\u2028\ufeff\x00"))
def test_any_text_is_a_value_or_a_problem(text: str) -> None:
    for problem in problems_of(text):
        assert problem.startswith("c.yaml:")
        assert len(problem.splitlines()) == 1
