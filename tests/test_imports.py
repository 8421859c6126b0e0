"""The layout holds: imports point one way, and what is heavy is imported late.

The sources are read, not run: a lazy import inside a function points as much as one at the top.
"""

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the bottom to the top: a room may import itself and the rooms below it, not its neighbour.
FLOORS = (
    {"errors"},
    {"files"},
    {"corpus", "machine"},
    {"model"},
    {"inference"},
    {"training", "report"},
    {"run", "export"},
    {"jobs"},
    {"", "cli"},
    {"__main__"},
)
HEAVY = {
    "kenlm",
    "matplotlib",
    "numpy",
    "optuna",
    "pooch",
    "pydantic",
    "rich",
    "tensorboard",
    "torch",
    "yaml",
    "zstandard",
}
MAY_IMPORT_TORCH = "lmtrain.corpus.batching"


class Import(NamedTuple):
    target: str  # dotted, absolute; a name taken from a module is part of it: lmtrain.errors.DataError
    line: int
    is_eager: bool  # done when the module is imported


Sources = Mapping[str, tuple[Import, ...]]


def read_imports(package: Path) -> Sources:
    """The imports of each module of a package, by dotted name."""
    sources = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        parent = name if is_package else name.rpartition(".")[0]
        sources[name] = tuple(_imports(ast.parse(path.read_text(encoding="utf-8")), parent))
    return sources


def _imports(node: ast.AST, parent: str, is_eager: bool = True) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, is_eager) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            module = importlib.util.resolve_name("." * child.level + (child.module or ""), parent)
            yield from (Import(f"{module}.{alias.name}", child.lineno, is_eager) for alias in child.names)
        else:
            is_late = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
                isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            )
            yield from _imports(child, parent, is_eager and not is_late)


def find_upward_imports(sources: Sources) -> list[str]:
    """Imports from a room that the importing one must not know."""
    return [
        f"{module}:{line} imports {target}"
        for module, imports in sources.items()
        for target, line, _ in imports
        if target.split(".")[0] == "lmtrain" and _room(target) not in _allowed(_room(module))
    ]


def _room(dotted: str) -> str:
    """``training`` for ``lmtrain.training.log``; nothing for the package itself, which opens the house."""
    return f"{dotted}.".split(".")[1]


def _allowed(room: str) -> set[str]:
    """The rooms that one may import from."""
    own = {room, "__version__"}
    if room == "config":
        return own | {"errors", "files"}
    floor = next((i for i, rooms in enumerate(FLOORS) if room in rooms), None)
    assert floor is not None, f"lmtrain.{room} has no place in the layout; give it one in FLOORS"
    return own.union(*FLOORS[:floor], {"config"} if room in ("run", "jobs", "cli") else ())


def eager_closure(sources: Sources, module: str) -> set[str]:
    """The packages of others that importing a module imports, through whatever modules of ours."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        waiting.append(name.rpartition(".")[0])  # importing a.b imports a
        waiting.extend(target for target, _, is_eager in sources.get(name, ()) if is_eager)
    return {name for name in seen if "." not in name} - {"lmtrain"}


@pytest.fixture(scope="module")
def sources() -> Sources:
    return read_imports(ROOT / "lmtrain")


def test_imports_point_one_way(sources: Sources) -> None:
    assert find_upward_imports(sources) == []


def test_the_command_line_starts_without_heavy_packages(sources: Sources) -> None:
    modules = [name for name in sources if name == "lmtrain" or _room(name) in ("cli", "__main__")]
    assert "typer" in eager_closure(sources, "lmtrain.cli.program")  # the closure sees something
    assert [name for name in modules if eager_closure(sources, name) & HEAVY] == []


def test_configs_and_texts_are_read_without_torch(sources: Sources) -> None:
    modules = [name for name in sources if _room(name) in ("errors", "config", "corpus")]
    assert [name for name in modules if "torch" in eager_closure(sources, name)] == [MAY_IMPORT_TORCH]


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("model/bad.py", "from lmtrain.run.build import f", "model.bad:1 imports lmtrain.run.build.f"),
        ("corpus/bad.py", "def f():\n    import lmtrain.model", "corpus.bad:2 imports lmtrain.model"),
        ("corpus/bad.py", "from ..inference import f", "corpus.bad:1 imports lmtrain.inference.f"),
        ("corpus/__init__.py", "from ..model import f", "corpus:1 imports lmtrain.model.f"),
        ("training/bad.py", "from lmtrain import config", "training.bad:1 imports lmtrain.config"),
        ("training/bad.py", "from lmtrain.report import f", "training.bad:1 imports lmtrain.report.f"),
        ("run/bad.py", "if TYPE_CHECKING:\n  import lmtrain.cli", "run.bad:2 imports lmtrain.cli"),
        ("config/bad.py", "from lmtrain.corpus import f", "config.bad:1 imports lmtrain.corpus.f"),
        ("errors.py", "from lmtrain.config import Config", "errors:1 imports lmtrain.config.Config"),
    ],
)
def test_an_import_up_the_house_is_found(tmp_path: Path, path: str, source: str, complaint: str) -> None:
    assert find_upward_imports(_package(tmp_path, {path: source})) == [f"lmtrain.{complaint}"]


def test_imports_down_the_house_are_not(tmp_path: Path) -> None:
    files = {
        "run/good.py": "from lmtrain import __version__\nfrom lmtrain.config import Config\nimport torch",
        "training/good.py": "from lmtrain.errors import DataError\nfrom .trainer import Trainer",
        "__main__.py": "from lmtrain.cli import main",
    }
    assert find_upward_imports(_package(tmp_path, files)) == []


def test_an_unknown_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"lmtrain\.attic has no place"):
        find_upward_imports(_package(tmp_path, {"attic/box.py": "import lmtrain.errors"}))


def test_eager_imports_are_followed_and_lazy_ones_are_not(tmp_path: Path) -> None:
    files = {
        "__init__.py": "",
        "cli/__init__.py": "import lmtrain.corpus.text\nif True:\n    import yaml",
        "cli/late.py": "def command():\n    import torch",
        "corpus/__init__.py": "try:\n    import numpy.typing\nexcept ImportError:\n    pass",
        "corpus/text.py": "class Text:\n    import tensorboard",
    }
    sources = _package(tmp_path, files)
    assert eager_closure(sources, "lmtrain.cli.late") == {"numpy", "tensorboard", "yaml"}
    assert eager_closure(sources, "lmtrain") == set()


def _package(folder: Path, files: Mapping[str, str]) -> Sources:
    for name, source in files.items():
        path = folder / "lmtrain" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return read_imports(folder / "lmtrain")
