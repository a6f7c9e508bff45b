"""What was learnt from a whole query, in a file: parts of it are then labelled as in the whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from peakatlas.atlas.storage.atomic import write_bytes
from peakatlas.classifier.training.query_statistics import QueryStatistics
from peakatlas.engine.errors import CountsError

if TYPE_CHECKING:
    from peakatlas.engine.intervals.table import Intervals

FORMAT = "peakatlas-query-statistics-1"


def write_statistics(
    path: str | Path, found: QueryStatistics, query: Intervals, reference: Intervals
) -> None:
    """Write what was learnt from a query.

    Parameters
    ----------
    path : str or Path
    found : QueryStatistics
    query, reference : Intervals
        Peaks of the query and of the bundle.
    """
    facts = {"format": FORMAT, "query": _digest(query), "reference": _digest(reference)}
    arrays = {name: np.asarray(value, order="C") for name, value in found.arrays().items()}
    write_bytes(Path(path), save(arrays, {"peakatlas": json.dumps(facts)}))


def read_statistics(path: str | Path, query: Intervals, reference: Intervals) -> QueryStatistics:
    """Read what was learnt from a query.

    Parameters
    ----------
    path : str or Path
    query, reference : Intervals
        Peaks of the query at hand and of the bundle: they must be those of the file.

    Raises
    ------
    CountsError
        If the file is none of these, or belongs to other peaks.
    """
    try:
        with safe_open(path, "numpy") as file:
            facts = json.loads((file.metadata() or {}).get("peakatlas", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise CountsError(
            f"{path}: no statistics of a query ({error}). Write them with --write-statistics."
        ) from error
    if facts.get("format") != FORMAT:
        raise CountsError(
            f"{path}: no statistics of a query in the form that this peakatlas reads. Write them "
            "again with --write-statistics."
        )
    for whose, peaks in (("query", query), ("reference", reference)):
        if facts[whose] != _digest(peaks):
            raise CountsError(
                f"{path}: these statistics belong to a {whose} with other peaks. Write them again "
                "with --write-statistics on the whole query."
            )
    return QueryStatistics.from_arrays(arrays)


def _digest(peaks: Intervals) -> str:
    return hashlib.sha256("\n".join(peaks.names()).encode()).hexdigest()
