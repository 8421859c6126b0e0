"""The documentation is true: its commands and programs run, its links lead somewhere, its reference is fresh.

A page is read from its beginning in a folder that has the configs, a small toy-english, texts that stand in
for the Penn Treebank, and runs of both.
"""

import re
import runpy
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from doc_pages import LESSONS, PAGES, ROOT, blocks, commands, parse, run_line, shell_lines, steps
from program import lmtrain

from lmtrain.cli.program import whole_program
from lmtrain.config import load_config
from lmtrain.config.document import Document
from lmtrain.config.space import Space
from lmtrain.corpus.suites import reading
from lmtrain.corpus.synthetic import synthetic
from lmtrain.model.cells import CELLS
from lmtrain.report.measure import diagnose, gradient_reach

_ADDS_A_CELL = ROOT / "docs" / "adding-a-cell.md"
"""Holds where its cell is there: ``test_adding_a_cell.py`` makes a checkout of which that is so."""
RUNNABLE = [
    page
    for page in PAGES
    if shell_lines(page) and page not in LESSONS and (page != _ADDS_A_CELL or ("mgu", "tanh") in CELLS)
]
_PROGRAMS_ELSEWHERE = {"export.md", "adding-a-cell.md"}
"""Their Python is run by ``cli/test_export.py`` and ``test_adding_a_cell.py``."""
_REFERENCE = {"reference-commands.md", "reference-config.md"}
_SENTENCES = "the tiny wizard giggles .\nmy lobster giggle .\n"
_LINES = {"train": 900, "valid": 60, "test": 60}

page_name = lambda page: str(page.relative_to(ROOT))  # noqa: E731


@pytest.fixture(scope="module", autouse=True)
def _small(few_dots: None) -> Iterator[None]:
    """Pictures, toy-english, wherever it is made, and what is sampled from it to look at a model."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(synthetic, "_NUM_LINES", _LINES)
        monkeypatch.setattr(synthetic, "counting", partial(synthetic.counting, repeats=30))
        for module in (diagnose, reading):
            monkeypatch.setattr(module, "_VERBS", 6)
        monkeypatch.setattr(diagnose, "_GATE_POSITIONS", 50)
        monkeypatch.setattr(gradient_reach, "_STEPS", 20)
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    for name in ("benchmarks", "configs", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    synthetic.write_synthetic("toy-english", folder / "data" / "toy-english")
    (folder / "data" / "ptb").mkdir()
    for split in _LINES:  # fewer to train on: bfloat16 is slow where the processor has none
        lines = (folder / "data" / "toy-english" / f"{split}.txt").read_text().splitlines(keepends=True)
        (folder / "data" / "ptb" / f"{split}.txt").write_text("".join(lines[:300]))
    (folder / "text").mkdir()
    for split, source in (("train", "valid"), ("valid", "test")):
        shutil.copy(folder / "data" / "ptb" / f"{source}.txt", folder / "text" / f"{split}.txt")
    _write_stories(folder / "stories", folder / "data" / "ptb" / "valid.txt")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("LMTRAIN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        for name in ("quickstart", "ptb-fast"):
            assert lmtrain("train", "--config", f"configs/{name}.yaml", folder=folder).code == 0
    return folder


def _write_stories(stories: Path, text: Path) -> None:
    """What stands in for Natural Stories: two stories, and their reading times by two readers."""
    stories.mkdir()
    words, times = ["word\tzone\titem"], ["WorkerId\titem\tzone\tRT\tword"]
    lines = text.read_text().splitlines()
    for item, part in ((1, lines[:20]), (2, lines[20:40])):
        for zone, word in enumerate(" ".join(part).split(), 1):
            words.append(f"{word}\t{zone}\t{item}")
            times += [
                f"r{reader}\t{item}\t{zone}\t{280 + 9 * len(word) + 31 * reader}\t{word}" for reader in (1, 2)
            ]
    (stories / "all_stories.tok").write_text("\n".join(words) + "\n")
    (stories / "processed_RTs.tsv").write_text("\n".join(times) + "\n")


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "folder")


@pytest.mark.parametrize("page", RUNNABLE, ids=page_name)
def test_the_commands_of_a_page_run(page: Path, folder: Path) -> None:
    for name, block in _yaml_files(page):
        (folder / name).write_text(block, encoding="utf-8")
    for line in shell_lines(page):
        for arguments in line.invocations():
            assert parse(arguments) is not None, line.text
        if line.is_run:
            run_line(line, folder)


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if p.name not in _PROGRAMS_ELSEWHERE and p not in LESSONS and blocks(p, "python")],
    ids=page_name,
)
def test_the_programs_of_a_page_run(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for program in blocks(page, "python"):
        exec(compile(program, page.name, "exec"), {})


@pytest.mark.parametrize("page", LESSONS, ids=page_name)
def test_a_lesson_runs_from_top_to_bottom(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for step in steps(page):
        if isinstance(step, str):
            exec(compile(step, page.name, "exec"), {})
        elif step.is_run:
            run_line(step, folder)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "yaml")], ids=page_name)
def test_the_configs_of_a_page_hold(page: Path, folder: Path) -> None:
    for name, block in _yaml_files(page):
        path = folder / name
        path.write_text(block, encoding="utf-8")
        if name == "space.yaml":
            Space(Document(folder / "configs" / "quickstart.yaml"), path)
        else:
            load_config(path)


def _yaml_files(page: Path) -> Iterator[tuple[str, str]]:
    """The YAML of a page, each under the name of its file; parts of a config made whole."""
    for block in blocks(page, "yaml"):
        values = yaml.safe_load(block)
        if any("." in key for key in values):
            yield "space.yaml", block
        elif "name" in values:
            yield f"{values['name']}.yaml", block
        else:
            whole = {"name": "part", "data": {"train": "train.txt"}, "train": {"epochs": 1}}
            yield "part.yaml", yaml.safe_dump({**whole, **values})


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}, target


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| [^|\n]*\[[^]]+\]\(([\w/-]+\.md)\)", index, re.MULTILINE)
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page != ROOT / "README.md"]
    assert sorted(listed) == sorted(set(pages) - {"README.md"})


def test_every_command_has_an_example() -> None:
    pages = [page for page in PAGES if page.name not in _REFERENCE]
    invocations = [a for page in pages for line in shell_lines(page) for a in line.invocations()]
    shown = {parsed[0] for arguments in invocations if (parsed := parse(arguments))}
    assert shown == {name for name, _ in commands(whole_program())}


def test_most_commands_are_run() -> None:
    lines = [line for page in PAGES for line in shell_lines(page) if line.invocations()]
    left_out = [line.text for line in lines if not line.is_run]
    assert len(left_out) < len(lines) / 5, left_out


def test_the_reference_is_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "47")  # which must not show
    pages = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["pages"]()
    assert pages.keys() == _REFERENCE
    for name, text in pages.items():
        path = ROOT / "docs" / name
        assert path.read_text(encoding="utf-8") == text, (
            f"{name} is out of date; run python docs/make_reference.py"
        )
