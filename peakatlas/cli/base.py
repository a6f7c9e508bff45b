"""What all commands share: how their help looks, and what they leave behind when stopped."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from .stopping import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

# of click, of which typer has a private copy or not, depending on its version
_Context: TypeAlias = Any
_Formatter: TypeAlias = Any

EVERYWHERE = {
    "-q, --quiet": "No notes and no progress; results, warnings and errors only.",
    "-v, --verbose": "More about what is done, how fast and with what.",
    "--threads N": "Threads of matrix products, at most; all cores if not given.",
    "--device NAME": "Where the model runs: cpu, cuda, cuda:1; a GPU, if any, if not given.",
    "--debug": "Show the traceback of an error.",
    "-h, --help": "Show this message and exit.",
}
"""Options that every command takes, anywhere on the line; `cli.main` acts on them."""
OLDER_NAMES = {"annotate": {"--model": "--bundle"}, "report": {"--batch": "--batch-key"}}
"""Former names of options by command; they work and are not shown."""
_SHOWN_BY_US = frozenset({"--help", "--quiet", "--verbose", "--debug"})
_WIDTH = 100
_CHECKS = "peakatlas.checks"
_RANGE = re.compile(r"([\d.]+)<=x<=([\d.]+)")
_LEAST = re.compile(r"x>=([\d.]+)")
_Value = TypeVar("_Value")


class Command(TyperCommand):
    """A command whose help is plain text with examples."""

    kept = ""
    """What is true of the output, and what the same command does, after a signal; if special."""

    def format_help(self, ctx: _Context, formatter: _Formatter) -> None:
        """Write usage, purpose, arguments, options and examples."""
        write_help(self, ctx, formatter)

    def parse_args(self, ctx: _Context, args: list[str]) -> list[str]:
        """Read the words of the line; options may have their former names."""
        names = OLDER_NAMES.get(self.name or "", {})
        split = [word.partition("=") for word in args]
        return super().parse_args(ctx, [names.get(a, a) + b + c for a, b, c in split])

    def collect_usage_pieces(self, ctx: _Context) -> list[str]:
        """Names of the arguments, without the braces that typer puts about them."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece.replace("{", "").replace("}", "") for piece in pieces]

    def invoke(self, ctx: _Context) -> object:
        """Run; a signal takes along what to say of the output."""
        for check in ctx.meta.pop(_CHECKS, ()):
            check()
        try:
            return super().invoke(ctx)
        except Stopped as stop:
            stop.kept = self.kept or stop.kept
            raise


class ResumableCommand(Command):
    """A command that goes on where it stopped when it is run again."""

    kept = "what is written is kept; to go on"


class Group(TyperGroup):
    """A group of commands whose help is plain text; without a command it prints that."""

    def format_help(self, ctx: _Context, formatter: _Formatter) -> None:
        """Write usage, purpose, commands and options."""
        write_help(self, ctx, formatter)

    def parse_args(self, ctx: _Context, args: list[str]) -> list[str]:
        """Print the help and end with 2 where nothing was asked for."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: _Context, args: list[str]) -> Any:  # noqa: ANN401 (of typer)
        """Find a command; one that is not there is looked for in the groups below as well."""
        known = set(self.commands)
        deeper = {
            inner: f"{name} {inner}"
            for name, group in self.commands.items()
            if isinstance(group, Group)
            for inner in group.commands
        }
        near = get_close_matches(args[0], [*known, *deeper], n=1)
        if args[0] not in known and near and near[0] in deeper:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {deeper[near[0]]!r}?")
        return super().resolve_command(ctx, args)


def write_help(command: Command | Group, ctx: _Context, formatter: _Formatter) -> None:
    """Write the help of a command or group.

    Parameters
    ----------
    command : Command or Group
    ctx : its context
    formatter : the help formatter of click that takes the text
    """
    formatter.width = min(_WIDTH, max(formatter.width, 40))
    command.format_usage(ctx, formatter)
    command.format_help_text(ctx, formatter)
    for title, rows in (_parameters(command, ctx) | _commands(command)).items():
        with formatter.section(title):
            formatter.write_dl(rows)
    with formatter.section("On every command"):
        formatter.write_dl(list(EVERYWHERE.items()))
    if command.epilog:
        with formatter.section("Examples"):
            for line in command.epilog.splitlines():
                formatter.write(f"  {line}\n")


def later(check: Callable[[_Value], None]) -> Callable[[typer.Context, _Value], _Value]:
    """Callback of an argument or option: checks its value once the line is known to be complete.

    Parameters
    ----------
    check : callable
        Raises if the value, which is not None, cannot be used.
    """

    def callback(ctx: typer.Context, value: _Value) -> _Value:
        if value is not None:
            ctx.meta.setdefault(_CHECKS, []).append(lambda: check(value))
        return value

    return callback


def _parameters(command: Command | Group, ctx: _Context) -> dict[str, list[tuple[str, str]]]:
    """Names and help of arguments and options by the heading that they stand under."""
    found: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        shown_by_us = not _SHOWN_BY_US.isdisjoint(param.opts)
        record = None if shown_by_us else param.get_help_record(ctx)
        if record is None:
            continue
        names, text = record
        is_argument = param.param_type_name == "argument"
        if is_argument:
            names, text = names.partition(" <")[0], text.replace("[required]", "")
        title = getattr(param, "rich_help_panel", None) or (
            "Arguments" if is_argument else "Options"
        )
        text = _LEAST.sub(r"at least \1", _RANGE.sub(r"\1 to \2", text)).strip()
        found.setdefault(title, []).append((names.replace("<", "").replace(">", ""), text))
    order = sorted(found, key=lambda title: title not in ("Arguments", "Options"))
    return {title: found[title] for title in order}


def _commands(command: Command | Group) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    commands = command.commands if isinstance(command, Group) else {}
    for name, each in commands.items():
        title = getattr(each, "rich_help_panel", None) or "Commands"
        found.setdefault(title, []).append((name, (each.help or "").partition("\n\n")[0]))
    return found
