"""The pages of the documentation: their blocks, the commands in them, and running those as a shell would."""

import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from program import lmtrain

from lmtrain.cli.program import whole_program

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted((ROOT / "docs" / "lessons").glob("*.md"))
"""Read from top to bottom, commands and programs alike."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *LESSONS]

_NOT_RUN = re.compile(r"\s#\s+(long: |needs )")
_NEVER_RUN = {"python3", "pip", ".", "tensorboard"}
"""Programs that install lmtrain, or are others'; so is whatever lies in ``.venv/bin`` but lmtrain."""
_RUN_BY_THE_SYSTEM = {"echo", "printf", "cat", "head"}


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Line:
    """A line of a shell block.

    Attributes:
        text: As it stands there.
        is_run: Unless its comment begins with ``long: `` or ``needs ``, which tells the reader why not.
    """

    text: str
    is_run: bool

    def pipelines(self) -> list[list[list[str]]]:
        """Its words: commands joined by ``|`` in pipelines that are joined by ``&&``."""
        lexer = shlex.shlex(self.text, posix=True, punctuation_chars="|&<>;")
        lexer.whitespace_split = True
        found: list[list[list[str]]] = [[[]]]
        for word in lexer:
            if word == "&&":
                found.append([[]])
            elif word == "|":
                found[-1].append([])
            elif set(word) <= set("|&;") or word in ("<", ">>"):
                raise ValueError(f"{self.text}: {word} is more than these tests understand")
            else:
                found[-1][-1].append(word)
        return found

    def invocations(self) -> list[list[str]]:
        """The arguments of each lmtrain in it."""
        commands = [command for pipeline in self.pipelines() for command in pipeline]
        return [_without_target(words)[0][1:] for words in commands if Path(words[0]).name == "lmtrain"]


def shell_lines(page: Path) -> list[Line]:
    """The lines of the page's shell blocks, but empty ones and comments."""
    return _lines("".join(blocks(page, "bash")))


def steps(page: Path) -> Iterator[Line | str]:
    """The lines of its shell blocks, and its programs in Python, in their order."""
    for language, block in re.findall(
        r"^```(bash|python)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    ):
        yield from _lines(block) if language == "bash" else [block]


def _lines(shell: str) -> list[Line]:
    text = shell.replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [Line(line, _NOT_RUN.search(line) is None) for line in lines]


def _without_target(words: list[str]) -> tuple[list[str], str | None]:
    """A command without its ``> FILE``, and that file."""
    if ">" not in words:
        return words, None
    place = words.index(">")
    return words[:place] + words[place + 2 :], words[place + 1]


def run_line(line: Line, folder: Path) -> None:
    """Runs the commands of a line, of which each has to succeed."""
    for pipeline in line.pipelines():
        data = b""
        for words in pipeline:
            command, target = _without_target(words)
            data = _run(command, folder, data)
            if target is not None:
                (folder / target).write_bytes(data)
                data = b""


def _run(words: list[str], folder: Path, stdin: bytes) -> bytes:
    program = words[0]
    if Path(program).name == "lmtrain":
        outcome = lmtrain(*words[1:], folder=folder, stdin=stdin)
        assert outcome.code == 0, f"{shlex.join(words)} ended with {outcome.code}:\n{outcome.err}"
        return outcome.out.encode()
    if program in _NEVER_RUN or program.startswith(".venv/bin/"):
        return b""
    if program == "python":
        words = [sys.executable, *words[1:]]
    elif program == "torchrun":
        words = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
    else:
        assert program in _RUN_BY_THE_SYSTEM, f"{shlex.join(words)}: not known to tests/doc_pages.py"
    return subprocess.run(words, cwd=folder, input=stdin, stdout=subprocess.PIPE, check=True).stdout


def parse(arguments: list[str]) -> tuple[str, dict[str, Any]] | None:
    """The command that would run, and its parameters; None where help is asked for. Runs nothing."""
    parsed: list[tuple[str, dict[str, Any]]] = []

    def note(command: str, /, **params: Any) -> None:
        parsed.append((command, params))

    root = whole_program()
    for name, command in commands(root):
        command.callback = functools.partial(note, name)
    root.main(arguments, prog_name="lmtrain", standalone_mode=False)
    return parsed[0] if parsed else None


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The commands of the program by their names, such as ``data fetch``."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for part, child in command.commands.items():
        yield from commands(child, f"{name} {part}".strip())
