"""What the commands print: facts, tables, progress and the one line of an error."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .engine.errors import PeakAtlasError
from .engine.models.table import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .engine.models.table import ModelCard


def is_first_rank() -> bool:
    """Whether this process speaks for all that torchrun or Accelerate started."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print a note on standard error, from the first rank only."""
    if is_first_rank():
        print(text, file=sys.stderr, flush=True)


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


def show_licence(model: str) -> None:
    """Say so when the weights of a model of the table may not be used commercially."""
    for card in MODELS.values():
        if card.non_commercial and model in (card.name, card.source):
            say(
                f"note: the weights of {card.name} are under {card.licence}: non-commercial use "
                "only. The atlas records this."
            )


@contextmanager
def progress_bar(total: int, text: str) -> Iterator[Callable[[int], None]]:
    """Bar on standard error; yields a function that takes the number of newly done units."""
    from rich.console import Console  # noqa: PLC0415 - keeps the help fast
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
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not is_first_rank()) as bar:
        task = bar.add_task(text, total=total)
        yield lambda n: bar.advance(task, n)


def error_line(error: BaseException) -> str:
    """An error as one line; one that was not raised on purpose says its kind and a remedy."""
    text = " ".join(str(error).split())
    if isinstance(error, PeakAtlasError):
        return text
    if isinstance(error, OSError):
        return text.partition("] ")[2] or text
    return f"{type(error).__name__}: {text}. Not foreseen; --debug shows where it comes from."


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("%", "").strip().isdigit()
