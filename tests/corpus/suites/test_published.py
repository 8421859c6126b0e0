import math
from pathlib import Path

import pytest

from lmtrain.corpus.suites.published import read_published
from lmtrain.errors import DataError


def written(folder: Path, text: str) -> Path:
    path = folder / "published"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        '{"UID": "a", "term": "t", "lstm": 0.5, "gpt2": 1.0}\n{"UID": "b", "lstm": 0.75, "gpt2": 0.25}',
        "lstm,gpt2,set,term\n50,100,a,t\n75,25,b,t\n",
        "which\tlstm\tgpt2\nb\t0.75\t.25\na\t0.5\t1\n",
        "set;lstm;gpt2\na;50,0;100\nb;75,0;25\n",
    ],
)
def test_figures_by_set(text: str, tmp_path: Path) -> None:
    published = read_published(written(tmp_path, text))
    assert published.models == ("lstm", "gpt2")
    assert published.by_set["a"] == {"lstm": 0.5, "gpt2": 1.0}
    assert published.mean({"b": 10}) == {"lstm": 0.75, "gpt2": 0.25}
    assert published.mean({"a": 1000, "b": 3000}) == pytest.approx({"lstm": 0.6875, "gpt2": 0.4375})
    assert all(map(math.isnan, published.mean({"a": 1, "c": 1}).values()))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("set,about\na,b\n", "no column of figures beside 'set'"),
        ('{"UID": "a"}\n{"UID"', ":2: not JSON"),
        ('{"UID": "a", "x": 1}\n[]', ":2: no JSON object"),
    ],
)
def test_what_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        read_published(written(tmp_path, text))
    assert complaint in str(refusal.value)


def test_the_real_file(shared_data: Path) -> None:
    published = read_published(shared_data / "stimuli" / "blimp-published.jsonl")
    sets = {path.stem: 1000 for path in (shared_data / "stimuli" / "blimp").glob("*.jsonl")}
    assert published.models == ("ngram", "lstm", "txl", "gpt2")
    assert published.mean(sets)["lstm"] == pytest.approx(0.716, abs=5e-4)
    assert published.by_set["overall"]["lstm"] == pytest.approx(0.698, abs=5e-4)
