"""What the groups of commands share, on top of typer's."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from lmtrain.cli.text import VOICE, say


class Named(TyperCommand):
    """A command, or a group of them, known by name and one line: imported when it is asked for.

    Args:
        name: Of the command.
        place: ``module:function`` below ``lmtrain.cli``, or the module with the ``app`` of a group.
        about: The first line of its help.
    """

    def __init__(self, name: str, place: str, about: str) -> None:
        super().__init__(name, help=about, rich_markup_mode=None)
        self._place = place

    def load(self) -> Any:
        """The command itself."""
        module, _, function = self._place.partition(":")
        found = getattr(import_module(f"lmtrain.cli.{module}"), function or "app")
        if isinstance(found, typer.Typer):
            return get_command(found)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(self.name)(found)
        return get_command(alone)


class Group(TyperGroup):
    """A group whose commands take ``--quiet`` after their name too, and which alone shows its help."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command, and lists all of them where none is near.

        It is imported, and has the option of the whole program among its own.
        """
        try:
            name, command, rest = super().resolve_command(ctx, args)
        except typer.TyperException as error:
            if "Did you mean" not in error.message and args[0] not in self.commands:
                error.message += f" There are {', '.join(self.commands)}."
            raise
        if isinstance(command, Named):
            command = self.commands[str(name)] = command.load()
        shared = [param for param in ctx.find_root().command.params if param.name == "quiet"]
        if command is not None:
            command.params += [param for param in shared if param not in command.params]
            _refuse_empty_paths(ctx, command, rest)
        return name, command, rest

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Shows the help where a command is missing, as a message."""
        if not args and not ctx.resilient_parsing:
            say(ctx.get_help(), sys.stderr)
            raise typer.Exit(2)
        return super().parse_args(ctx, args)


def _refuse_empty_paths(ctx: Any, command: Any, args: list[str]) -> None:
    """An empty path, as an unset variable of a shell gives it, would be the working directory."""
    own = command.context_class(command, info_name=command.name, parent=ctx)
    try:
        typed, _, _ = command.make_parser(own).parse_args(list(args))
    except typer.TyperException:  # is told when the command reads its words
        return
    for param in command.params:
        kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
        value = typed.get(param.name)
        values = value if isinstance(value, list | tuple) else (value,)
        if Path in (kind, *get_args(kind)) and "" in values:
            raise typer.BadParameter("the path is empty", ctx=own, param=param)


def be_quiet(ctx: typer.Context, value: bool) -> None:
    """Takes ``--quiet``, which is read before a command and once more after it."""
    VOICE.is_quiet = value or (VOICE.is_quiet and ctx.parent is not None)
