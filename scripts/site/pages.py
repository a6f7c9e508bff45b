"""Pages of the site that are made from the code, the results, and files kept elsewhere."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from tables import RESULTS, result, table

import peakatlas
from peakatlas.cli.main import NAME, app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
_WIDTH = 100
_OPTIONS = (
    "peakatlas.classifier.train.TrainOptions",
    "peakatlas.classifier.annotate.AnnotateOptions",
    "peakatlas.classifier.counts.registry.Sources",
)
_MODULES = {
    "tl": "Tools that write into an AnnData; [In a notebook](notebooks.md) shows them at work.",
    "pl": "Figures on matplotlib Axes; `pip install 'peakatlas[plot]'`.",
}
_WHOLE = ("    options:", "      show_root_heading: false", "      show_root_toc_entry: false")
_PLACES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "atlas/FORMAT.md": "format.md",
    "engine/models/peaklm-v3/README.md": "model-card.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Pages of the site by the file that they are made of."""
_SOURCES = {"pbmc_walk": "chromatinhd-0.4.3.tar.gz"}
"""Data that a benchmark asks for by its path."""
_NO_FIGURES = ("provenance", "tasks", "benchmark", "dataset")
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)")


def commands_page() -> str:
    """The help of every command, as it is printed."""
    lines = [
        "# Commands",
        "",
        "What `--help` prints, command by command. Exit codes: 0 done, 1 cannot, 2 misused, 130 or "
        "143 stopped by Ctrl-C or SIGTERM, with the line that goes on.",
    ]
    for path, text in _helps(typer.main.get_command(app), (NAME,), None):
        lines += ["", f"## {' '.join(path)}", "", "```text", text.rstrip(), "```"]
    return "\n".join(lines) + "\n"


def benchmarks_page() -> str:
    """Every figure of every committed result."""
    lines = [
        "# Benchmarks",
        "",
        "Made from the JSON objects in `benchmarks/results/` when this site is built. Each was "
        "printed by the command above its table, on the machine and commit below it. What the "
        "figures mean stands at the head of each script; how accuracy was measured, and how far "
        "it can be believed, on [another page](accuracy.md).",
    ]
    for file in sorted(RESULTS.glob("*.json")):
        lines += ["", f"## {file.stem}", "", *_result(result(file.stem), file.stem)]
    return "\n".join(lines) + "\n"


def api_page() -> str:
    """Every public name, documented from its docstring."""
    lines = [
        "# Python",
        "",
        "`import peakatlas` costs nothing: each name is loaded when it is first used.",
    ]
    for name in (*peakatlas.__all__, *_OPTIONS):
        lines += ["", f"::: {name if '.' in name else f'peakatlas.{name}'}"]
    for module, about in _MODULES.items():
        lines += ["", f"## peakatlas.{module}", "", about, ""]
        lines += [f"::: peakatlas.notebook.{module}", *_WHOLE]
    return "\n".join(lines) + "\n"


def included(name: str) -> str:
    """A Markdown file of the repository, with its links as they are on the site.

    Parameters
    ----------
    name : str
        Path below the root.
    """
    return relinked((ROOT / name).read_text(), name)


def relinked(text: str, name: str) -> str:
    """Links of a file to its neighbours as links to their pages; what has no page loses its link.

    Parameters
    ----------
    text : str
    name : str
        Path of the file below the root.
    """

    def link(match: re.Match[str]) -> str:
        path, hash_sign, anchor = match[2].partition("#")
        target = ((ROOT / name).parent / path).resolve().relative_to(ROOT).as_posix()
        if target not in _PLACES and not target.startswith("docs/"):
            return match[1]
        page = _PLACES.get(target, target.removeprefix("docs/"))
        return f"[{match[1]}]({page}{hash_sign}{anchor})"

    return _LINK.sub(link, text)


def _helps(
    command: Any,  # noqa: ANN401 - a click command, of which typer may have its own copy
    path: tuple[str, ...],
    parent: Any,  # noqa: ANN401 - its context
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Help of a command and of all below it."""
    context = command.make_context(
        path[-1], [], parent=parent, resilient_parsing=True, terminal_width=_WIDTH
    )
    yield path, command.get_help(context)
    for name, inner in getattr(command, "commands", {}).items():
        yield from _helps(inner, (*path, name), context)


def _result(found: dict[str, Any], name: str) -> list[str]:
    where = found.get("provenance", {})
    tasks: dict[str, dict[str, Any]] = found.get("tasks", {"": found})
    columns = {task: dict(_flat(figures)) for task, figures in tasks.items()}
    keys = dict.fromkeys(key for figures in columns.values() for key in figures)
    rows = [
        [f"`{key}`", *(_shown(each.get(key), each.get(f"{key}_sd")) for each in columns.values())]
        for key in keys
        if not key.endswith("_sd")
    ]
    return [
        f"`{_command(found, name)}`",
        "",
        table(["figure", *(task.replace("->", " → ") or "value" for task in columns)], rows),
        "",
        f"Measured {where.get('date', '?')}, {where.get('machine', '?')}, commit "
        f"{where.get('commit', '?')}.",
    ]


def _command(found: dict[str, Any], name: str) -> str:
    """What printed a result."""
    if name in _SOURCES:
        return f"python benchmarks/{name}.py --source {_SOURCES[name]} --json"
    dataset = f" --dataset {found['dataset']}" if "dataset" in found else ""
    script, _, option = str(found.get("benchmark", name)).partition("-")
    return f"python benchmarks/{script}.py{dataset}{f' --{option}' if option else ''} --json"


def _flat(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Figures of nested objects by their path; lists and what is about the run are left out."""
    for key, value in figures.items():
        if isinstance(value, dict):
            if key not in _NO_FIGURES:
                yield from _flat(value, f"{prefix}{key} / ")
        elif key not in _NO_FIGURES and not isinstance(value, list):
            yield f"{prefix}{key}", value


def _shown(value: object, sd: float | None = None) -> str:
    if isinstance(value, float):
        digits = 4 if 0.99 < value < 1 else 3 if abs(value) < 100 else 0
        text = f"{value:,.{digits}f}"
        return text if sd is None else f"{text} ± {sd:.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


PAGES: dict[str, Callable[[], str]] = {
    "api.md": api_page,
    "commands.md": commands_page,
    "benchmarks.md": benchmarks_page,
    **{
        page: partial(included, name)
        for name, page in _PLACES.items()
        if name not in ("README.md", "benchmarks/README.md")
    },
}
"""Makers of pages by name."""
