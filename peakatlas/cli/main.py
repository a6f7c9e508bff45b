"""The command line: each command parses, calls one function and prints."""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
import traceback
import warnings
from typing import Annotated

import typer

import peakatlas

from .base import Group
from .commands import (
    atlas_build,
    atlas_cluster,
    atlas_search,
    atlas_upkeep,
    bundles,
    cells,
    count,
    demo,
    doctor,
    explain,
    machine,
    name,
    pretrain,
    report,
    train,
)
from .options import ATLAS_PANEL, CELLS_PANEL
from .stopping import Stopped, stoppable
from .terminal import NORMAL, QUIET, VERBOSE, complain, error_line, verbosity, warn

# Passive waiting keeps threads off cores that other processes need; read once, when torch loads.
THREAD_DEFAULTS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
THREAD_VARIABLES = (
    "PEAKATLAS_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
NAME = "peakatlas"
_NAMES_QUOTED = re.compile(r"'(--?[\w-]+)'")

app = typer.Typer(
    cls=Group,
    help="Embed chromatin peaks once with a nucleotide language model, then annotate any "
    "scATAC-seq data set by lookup.",
    epilog="peakatlas demo\n"
    "peakatlas train reference.h5ad --labels cell_type -o bundle/\n"
    "peakatlas annotate query.h5ad --bundle bundle/ -o annotated.h5ad --report report.html\n"
    "peakatlas atlas build hg38.fa.gz peaks.bed atlas.zarr",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
atlas_app = typer.Typer(
    cls=Group,
    help="Build, inspect and look up atlases.",
    epilog="peakatlas atlas build hg38.fa.gz peaks.bed atlas.zarr --plan\n"
    "peakatlas atlas lookup atlas.zarr peaks.bed -o table.tsv",
    rich_markup_mode=None,
)
for part in (atlas_build, atlas_search, atlas_upkeep, atlas_cluster):
    atlas_app.add_typer(part.app)
for part in (demo, doctor, count, train, cells, name):
    app.add_typer(part.app)
bundles_app = typer.Typer(
    cls=Group,
    help="List, fetch, describe and publish trained bundles.",
    epilog="peakatlas bundles list\npeakatlas bundles get owner/name",
    rich_markup_mode=None,
)
bundles_app.add_typer(bundles.app)
app.add_typer(bundles_app, name="bundles", rich_help_panel=CELLS_PANEL)
for part in (report, explain):
    app.add_typer(part.app)
app.add_typer(atlas_app, name="atlas", rich_help_panel=ATLAS_PANEL)
for part in (machine, pretrain):
    app.add_typer(part.app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{NAME} {peakatlas.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """Run the command line and exit: 0 done, 1 cannot, 2 misused, 130 or 143 stopped by a signal.

    An error is one line, after a traceback with --debug.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # names of types and files have letters of any kind
            stream.reconfigure(errors="backslashreplace")
    words, threads = _taken_out("--threads", sys.argv[1:])
    words, device = _taken_out("--device", words)
    arguments, level, debug = _without_global_options(words)
    for variable, value in THREAD_DEFAULTS.items():
        os.environ.setdefault(variable, value)
    if threads is not None and not _set_threads(threads):
        complain(f"error: --threads must be a whole number above 0, not {threads!r}.")
        sys.exit(2)
    if device is not None:
        os.environ["PEAKATLAS_DEVICE"] = device
    with verbosity(level), warnings.catch_warnings(), stoppable():
        warnings.showwarning = _show_warning
        try:
            code = app(arguments, prog_name=NAME, standalone_mode=False)
        except Stopped as stop:
            code = 128 + stop.number
            complain(f"stopped: {stop.kept}, run the same again: {_same(sys.argv[1:])}")
        except Exception as error:
            if debug:
                traceback.print_exc()
            code = _report(error)
    sys.exit(code if isinstance(code, int) else 0)


def _without_global_options(words: list[str]) -> tuple[list[str], int, bool]:
    """Arguments without the options of every command, the verbosity, and whether to debug."""
    quiet, verbose, debug = {"-q", "--quiet"}, {"-v", "--verbose"}, {"--debug"}
    left = [word for word in words if word not in quiet | verbose | debug]
    level = QUIET if quiet & set(words) else VERBOSE if verbose & set(words) else NORMAL
    return left, level, bool(debug & set(words))


def _taken_out(option: str, words: list[str]) -> tuple[list[str], str | None]:
    """Arguments without an option of every command, and its value; the last one counts."""
    left: list[str] = []
    value: str | None = None
    waiting = False
    for word in words:
        if waiting:
            value, waiting = word, False
        elif word == option:
            value, waiting = "", True
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
        else:
            left.append(word)
    return left, value


def _set_threads(text: str) -> bool:
    """Bound the threads of libraries, which read these variables once; False for no number."""
    if not text.isdecimal() or int(text) < 1:
        return False
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(int(text))))
    return True


def _report(error: Exception) -> int:
    """Print the one line of an error; its exit code."""
    misused = getattr(error, "format_message", None)
    if misused is None:
        typer.echo(f"error: {error_line(error)}", err=True)
        return 1
    text = _NAMES_QUOTED.sub(r"\1", " ".join(str(misused()).split()))
    text = text.replace("(Possible options: ", "(did you mean ").rstrip(".")
    text = text.replace("Value error, ", "").replace("Input should be", "must be")
    where = getattr(getattr(error, "ctx", None), "command_path", NAME)
    stop = "" if text.endswith("?") else "."
    typer.echo(f"error: {text}{stop} See {where} --help.", err=True)
    return int(getattr(error, "exit_code", 2))


def _same(words: list[str]) -> str:
    """The command line, to be pasted; under a launcher it is that of the launcher."""
    line = shlex.join([NAME, *words])
    return line if os.environ.get("WORLD_SIZE", "1") == "1" else f"{line} (with its launcher)"


def _show_warning(message: Warning | str, *_where: object, **_whither: object) -> None:
    """A Python warning as one line."""
    warn(" ".join(str(message).split()))
