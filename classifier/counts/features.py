"""Which features of a matrix are peaks, and where these lie."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from peakatlas.engine.errors import CountsError, IntervalError
from peakatlas.engine.intervals.readers import intervals_from_frame, is_peak_name, parse_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.engine.intervals.table import Intervals

PEAKS_TYPE = "Peaks"
"""What 10x calls a feature that is a peak."""
_PEAK_TYPES = frozenset({"peaks", "peak", "atac", "atac-seq", "chromatin accessibility"})
_NO_TYPE = frozenset({"", "nan", "None", "NA", "<NA>"})
_TYPE_COLUMNS = ("feature_types", "feature_type", "modality")
_NAME_COLUMNS = (
    "interval", "peak", "peaks", "peak_name", "peak_id", "region", "regions", "coordinates",
    "gene_ids", "gene_id", "id", "name", "names", "features", "_index",
)  # fmt: skip
"""Columns that may hold the names of peaks, where the names of the rows are others."""
_BYTES = re.compile(r"b(['\"])(.*)\1")


def peak_rows(var: pd.DataFrame, source: str) -> NDArray[np.int64] | None:
    """Rows of those features that are peaks; None if all are.

    A column ``feature_types`` says so. Where it knows of no peak, names such as ``chr1:100-600``
    of all features do: some programs write one type for whatever there is. So do the names of
    those without a type, which are left where matrices with and without types were joined.

    Parameters
    ----------
    var : DataFrame
    source : str
        Name of the file, for an error.

    Raises
    ------
    CountsError
        If there are types, none of them peaks, and names that are not those of peaks.
    """
    column = next((name for name in _TYPE_COLUMNS if name in var), None)
    if column is None or not len(var):
        return None
    kinds = pd.Series(plain_texts(var[column])).astype(str).str.strip()
    is_peak = kinds.str.lower().isin(_PEAK_TYPES).to_numpy()
    if column == "modality" and not is_peak.any():
        return None
    if is_peak.any():
        untyped = np.flatnonzero(kinds.isin(_NO_TYPE).to_numpy())
        is_peak[untyped] = [is_peak_name(name) for name in map(str, var.index[untyped])]
        return None if is_peak.all() else np.flatnonzero(is_peak)
    if _named(plain_texts(var.index), source) is not None:
        return None
    there = ", ".join(sorted(set(kinds))) or "none"
    raise CountsError(
        f"{source}: no feature has the type {PEAKS_TYPE!r}; types there are: {there}. "
        "Give the matrix of an ATAC or multiome run."
    )


def peaks_of(var: pd.DataFrame, source: str) -> Intervals:
    """Where the peaks of a matrix lie.

    Columns chrom/start/end (or chr, seqnames, …) of `var` say so, else the names of its rows such
    as ``chr1:100-600``, else a column of such names, as ``interval`` or ``gene_ids``.

    Parameters
    ----------
    var : DataFrame
        One row a peak.
    source : str
        Name of the file, for an error.

    Raises
    ------
    IntervalError
        If none of them gives intervals.
    """
    texts = {
        name: plain_texts(var[name])
        for name in var
        if isinstance(var[name], pd.Series) and _is_text(var[name])
    }
    plain = var.assign(**{str(name): values for name, values in texts.items()})
    plain = plain.set_axis(plain_texts(var.index))
    try:
        return intervals_from_frame(plain, source)
    except IntervalError:
        if _has_places(plain):
            raise
        for name in _NAME_COLUMNS:
            found = _named(texts.get(name), source)
            if found is not None:
                return found
        raise


def plain_texts(values: Any) -> NDArray[np.object_]:  # noqa: ANN401 - an index or a column
    """Texts where some programs leave bytes, or ``b'chr1'``; missing values stay.

    Parameters
    ----------
    values : Index or Series
    """
    out = np.asarray(values, dtype=object)
    if any(isinstance(value, bytes) for value in out[:1]):
        out = np.array(
            [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in out], object
        )
    if all(isinstance(value, str) and _BYTES.fullmatch(value) for value in out):
        out = np.array([_BYTES.fullmatch(value)[2] for value in out], object)  # type: ignore[index]
    return out


def _is_text(column: pd.Series[Any]) -> bool:
    dtype = column.cat.categories.dtype if hasattr(column, "cat") else column.dtype
    return dtype.kind == "O" or isinstance(dtype, pd.StringDtype)


def _has_places(var: pd.DataFrame) -> bool:
    names = {str(name).lower() for name in var}
    return bool({"start", "chromstart"} & names) and bool({"end", "stop", "chromend"} & names)


def _named(texts: NDArray[np.object_] | None, source: str) -> Intervals | None:
    """Intervals by their names, if all are names of peaks."""
    if texts is None or not len(texts):
        return None
    try:
        return parse_names(map(str, texts), source)
    except IntervalError:
        return None
