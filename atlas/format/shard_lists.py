"""Lists of shards as people write them: ``0-3, 7``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from peakatlas.engine.errors import AtlasError

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 20
_PART = re.compile(r"\s*([0-9]{1,6})\s*(?:-\s*([0-9]{1,6})\s*)?")
"""Below a million, so that no text makes a list that memory does not hold."""


def shown_shards(shards: Iterable[int]) -> str:
    """Shards as text, runs of three or more as ``first-last``; at most 20 parts, then ``…``.

    Parameters
    ----------
    shards : iterable of int
        Ascending, without repeats.

    Examples
    --------
    >>> shown_shards([0, 1, 2, 3, 7, 8])
    '0-3, 7, 8'
    """
    runs: list[list[int]] = []
    for shard in shards:
        if runs and shard == runs[-1][-1] + 1:
            runs[-1].append(shard)
        else:
            runs.append([shard])
    parts = [
        part
        for run in runs
        for part in ([f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run))
    ]
    return ", ".join(parts[:_SHOWN]) + ", …" * (len(parts) > _SHOWN)


def parse_shards(text: str) -> list[int]:
    """Read a list of shards; inverse of `shown_shards`.

    Parameters
    ----------
    text : str
        Numbers below a million and ranges, both ends included, joined by commas.

    Returns
    -------
    list of int
        Ascending, without repeats.

    Raises
    ------
    AtlasError
        If the text is not that.

    Examples
    --------
    >>> parse_shards("7,0-3,2")
    [0, 1, 2, 3, 7]
    """
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise AtlasError(
                f"{text!r} is not a list of shards ({part!r}): numbers below a million and ranges "
                "from low to high. Example: --shard 0-15,20; in a SLURM array "
                "--shard $SLURM_ARRAY_TASK_ID."
            )
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(found)
