"""What the commands print: facts, tables, progress and the one line of an error."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from peakatlas.engine.errors import PeakAtlasError
from peakatlas.engine.models.table import MODELS
from peakatlas.engine.run.launchers import launch_of
from peakatlas.engine.run.periodic import repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from rich.console import Console
    from rich.progress import ProgressColumn

    from peakatlas.engine.models.table import ModelCard
    from peakatlas.engine.run.meter import Meter

LINE_EVERY_S = 30.0
"""Least time between two lines of progress where there is no terminal for a bar."""
LIFE_EVERY_S = 60.0
"""Longest silence within a step where there is no terminal for a spinner."""
QUIET, NORMAL, VERBOSE = -1, 0, 1
_LEAST_SHOWN_S = 0.05
_verbosity: ContextVar[int] = ContextVar("verbosity", default=NORMAL)


@contextmanager
def verbosity(level: int) -> Iterator[None]:
    """Print less (`QUIET`) or more (`VERBOSE`) in the block."""
    token = _verbosity.set(level)
    try:
        yield
    finally:
        _verbosity.reset(token)


def is_verbose() -> bool:
    """Whether more was asked for."""
    return _verbosity.get() >= VERBOSE


def is_first_rank() -> bool:
    """Whether this process speaks for all that a launcher started."""
    return launch_of(os.environ).rank == 0


def say(text: str) -> None:
    """Print a note on standard error, from the first rank only; nothing when quiet."""
    if _verbosity.get() >= NORMAL:
        complain(text)


def complain(text: str) -> None:
    """Print what must be known even when quiet, on standard error, from the first rank only."""
    if is_first_rank():
        print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Print a warning, also when quiet."""
    complain(f"warning: {text}")


def print_facts(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print names and values in two columns, or as one JSON object."""
    if as_json:
        print(json.dumps(dict(facts)))
        return
    flat = {
        f"{name}.{inner}" if inner else name: value
        for name, held in facts.items()
        for inner, value in (held.items() if isinstance(held, dict) else [("", held)])
    }
    print_table((), [[name, _shown(value)] for name, value in flat.items()])


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print left-aligned columns; numbers are right-aligned where a whole column is numbers."""
    table = [list(header), *map(list, rows)] if header else [list(row) for row in rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(widths))]
    for row in table:
        cells = zip(row, widths, numeric, strict=True)
        print("  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in cells).rstrip())


def card_facts(card: ModelCard) -> dict[str, Any]:
    """What `peakatlas models` says of a model."""
    return {
        "name": card.name,
        "parameters": card.n_parameters,
        "dim": card.dim,
        "context_tokens": card.context_tokens,
        "window": card.default_window,
        "licence": card.licence + (" (non-commercial)" if card.non_commercial else ""),
        "family": card.family,
    }


def show_licence(model: str | ModelCard) -> None:
    """Say so when the weights of a model may not be used commercially."""
    for card in MODELS.values() if isinstance(model, str) else [model]:
        if card.non_commercial and model in (card, card.name, card.source):
            say(
                f"note: the weights of {card.name} are under {card.licence}: non-commercial use "
                "only. The atlas records this."
            )


@contextmanager
def progress_bar(
    total: int, text: str, meter: Meter | None = None
) -> Iterator[Callable[[int], None]]:
    """Show progress on standard error: a bar, or plain lines where that is not a terminal.

    Yields a function that takes the number of newly done units. Only the first rank shows any,
    and none when quiet.
    """
    console = _console()
    if console is None:
        yield lambda _: None
    elif console.is_terminal:
        with _bar(console, total, text, meter) as advance:
            yield advance
    else:
        yield _lines(total, text, meter)


@contextmanager
def bytes_bar(text: str) -> Iterator[Callable[[int], None]]:
    """Show how many bytes went by: a bar, or a line now and then; none when quiet."""
    from rich.progress import FileSizeColumn, TransferSpeedColumn  # noqa: PLC0415 - slow

    console = _console()
    if console is None:
        yield lambda _: None
    elif console.is_terminal:
        with _spinner(console, text, FileSizeColumn(), TransferSpeedColumn()) as advance:
            yield advance
    else:
        yield _byte_lines(text)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show that something goes on: a spinner with the time on a terminal, nothing elsewhere."""
    console = _console()
    if console is None or not console.is_terminal:
        yield
    else:
        with _spinner(console, text):
            yield


@contextmanager
def steps() -> Iterator[StepsShown]:
    """Show steps of unknown length as they begin: a spinner, or plain lines off a terminal.

    Yields a function that takes a few words; its `count` takes how much of a step is done. On a
    terminal, and when verbose, a finished step says how long it took.
    """
    console, shown = _console(), Steps()
    if console is None or not console.is_terminal:
        seen = StepsShown(shown.begin if is_verbose() else say, _now_and_then())
        with _signs_of_life(seen) if console is not None else nullcontext():
            yield seen
        shown.end()
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("loading")

        def begin(text: str) -> None:
            shown.begin(text)
            bar.reset(task, description=text)

        yield StepsShown(begin, lambda text: bar.update(task, description=text))
        shown.end()


def _signs_of_life(seen: StepsShown) -> AbstractContextManager[None]:
    """Say which step goes on where none began and nothing was counted for a while."""

    def watch() -> bool:
        since = time.monotonic() - seen.last
        if since >= LIFE_EVERY_S:
            complain(f"{seen.text}: goes on ({(time.monotonic() - seen.began) / 60:.0f} min)")
            seen.last = time.monotonic()
        return True

    return repeated(LIFE_EVERY_S / 4, watch)


class StepsShown:
    """Takes steps as they begin and how much of each is done; see `steps`.

    Parameters
    ----------
    begin : callable
        Shows that a step begins.
    update : callable
        Shows a step with how much of it is done.
    """

    def __init__(self, begin: Callable[[str], None], update: Callable[[str], None]) -> None:
        self._begin, self._update = begin, update
        self.text = "loading"
        self.began = self.last = time.monotonic()

    def __call__(self, text: str) -> None:
        """Note that a step begins."""
        self.text = text
        self.began = self.last = time.monotonic()
        self._begin(text)

    def count(self, done: int, total: int) -> None:
        """Note how much of the step is done."""
        self.last = time.monotonic()
        self._update(f"{self.text}: {done:,} of {total:,} ({100 * done // max(total, 1)} %)")


class Steps:
    """Prints each step once the next one begins, with the time that it took."""

    def __init__(self) -> None:
        self._text, self._began = "", time.monotonic()

    def begin(self, text: str) -> None:
        """Note that a step begins, and print the one before it."""
        self.end()
        self._text, self._began = text, time.monotonic()

    def end(self) -> None:
        """Print the step that is under way, if any."""
        if self._text:
            took = time.monotonic() - self._began
            say(f"{self._text} ({took:.1f} s)" if took >= _LEAST_SHOWN_S else self._text)
        self._text = ""


def _console() -> Console | None:
    """Standard error, or None if no progress is to be shown."""
    from rich.console import Console  # noqa: PLC0415 - keeps the help fast

    if not is_first_rank() or _verbosity.get() < NORMAL:
        return None
    return Console(stderr=True)


@contextmanager
def _bar(
    console: Console, total: int, text: str, meter: Meter | None
) -> Iterator[Callable[[int], None]]:
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn() if meter is None else TextColumn("{task.fields[rates]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(text, total=total, rates="")

        def advance(n: int) -> None:
            if meter is not None:
                meter.advance(n)
            bar.update(task, advance=n, rates="" if meter is None else meter.text())

        yield advance


@contextmanager
def _spinner(
    console: Console, text: str, *columns: ProgressColumn
) -> Iterator[Callable[[int], None]]:
    """A line that moves and is gone at the end; yields a function of newly done units."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    every = SpinnerColumn(), TextColumn("{task.description}"), *columns, TimeElapsedColumn()
    with Progress(*every, console=console, transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda n: bar.update(task, advance=n)


def _lines(total: int, text: str, meter: Meter | None) -> Callable[[int], None]:
    """Report in plain lines: the first, the last, and one each `LINE_EVERY_S` between them."""
    done, due = 0, 0.0

    def advance(n: int) -> None:
        nonlocal done, due
        done += n
        if meter is not None:
            meter.advance(n)
        if time.monotonic() >= due or done >= total:
            due = time.monotonic() + LINE_EVERY_S
            rates = "" if meter is None else meter.text()
            so_far = f"{text}: {done:,} of {total:,} ({100 * done // max(total, 1)} %)"
            complain(f"{so_far}, {rates}" if rates else so_far)

    return advance


def _now_and_then() -> Callable[[str], None]:
    """Say a text if the last one is `LINE_EVERY_S` ago."""
    due = time.monotonic() + LINE_EVERY_S

    def update(text: str) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + LINE_EVERY_S
            say(text)

    return update


def _byte_lines(text: str) -> Callable[[int], None]:
    """Report in plain lines, one each `LINE_EVERY_S`."""
    done, say_it = 0, _now_and_then()

    def advance(n: int) -> None:
        nonlocal done
        done += n
        say_it(f"{text}: {shown_bytes(done)}")

    return advance


def shown_bytes(n: float) -> str:
    """Bytes in the unit that suits, decimal.

    Examples
    --------
    >>> shown_bytes(999), shown_bytes(12_345_678)
    ('999 B', '12.3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} B" if unit == "B" else f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:,.3g} TB"


def error_line(error: BaseException) -> str:
    """An error as one line; one that was not raised on purpose says its kind and a remedy."""
    text = " ".join(str(error).split())
    if isinstance(error, PeakAtlasError):
        return text
    if isinstance(error, OSError):
        return _refusal(error) or text
    return f"{type(error).__name__}: {text}. Not foreseen; --debug shows where it comes from."


def _refusal(error: OSError) -> str:
    """What the system refused, of which file, and what to do about the usual cases."""
    remedy = {
        FileNotFoundError: " Check the path.",
        FileExistsError: " Give another path.",
        IsADirectoryError: " Give a file.",
        NotADirectoryError: " Give a folder.",
        PermissionError: " Give another path, or permission.",
    }.get(type(error), "")
    if not error.strerror:
        return ""
    return f"{f'{error.filename}: ' if error.filename else ''}{error.strerror.lower()}.{remedy}"


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("%", "").strip().isdigit()
