"""What the groups of commands share, on top of typer's."""

from typing import Any

import typer
from typer.core import TyperGroup

from lmtrain.cli.text import VOICE


class Group(TyperGroup):
    """A group whose commands take ``--quiet`` after their name too, and which alone shows its help."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, which has the option of the whole program among its own."""
        command = super().get_command(ctx, cmd_name)
        shared = [param for param in ctx.find_root().command.params if param.name == "quiet"]
        if command is not None:
            command.params += [param for param in shared if param not in command.params]
        return command

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Shows the help where a command is missing, as a message."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command, and lists all of them where none is near."""
        try:
            return super().resolve_command(ctx, args)
        except typer.TyperException as error:
            if "Did you mean" not in error.message and args[0] not in self.commands:
                error.message += f" There are {', '.join(self.commands)}."
            raise


def be_quiet(ctx: typer.Context, value: bool) -> None:
    """Takes ``--quiet``, which is read before a command and once more after it."""
    VOICE.is_quiet = value or (VOICE.is_quiet and ctx.parent is not None)
