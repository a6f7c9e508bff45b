"""What annotation writes into a query, and what AnnData can write to a file at all."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
from anndata.abc import CSRDataset

from peakatlas.engine.errors import CountsError

if TYPE_CHECKING:
    from collections.abc import Iterator

OBS_COLUMNS = (
    "peakatlas_label",
    "peakatlas_confidence",
    "peakatlas_best",
    "peakatlas_uncertainty",
    "peakatlas_novelty",
    "peakatlas_novelty_p",
    "peakatlas_reason",
    "peakatlas_set",
    "peakatlas_set_size",
    "peakatlas_verdict",
)
"""Columns of `obs` that every annotation writes."""
TERM_COLUMNS = ("peakatlas_term_id", "peakatlas_set_term", "peakatlas_set_term_id")
"""Columns of `obs` that an annotation by a bundle with terms of the Cell Ontology writes."""
SCHEMA_COLUMN = "cell_type_ontology_term_id"
"""The same, where the query has no such column of its own: as CELLxGENE's schema has it."""
VAR_COLUMNS = ("peakatlas_tier",)
OBSM_KEYS = ("X_peakatlas", "X_peakatlas_tsne", "peakatlas_probabilities")
UNS_KEY = "peakatlas"
_OF_LEVEL = ("peakatlas_label_", "peakatlas_confidence_")
_RESERVED = "_index"
_WRITTEN = ("string", "boolean", "integer", "floating", "empty")
"""Kinds of categories, as pandas infers them, that can be written."""


def keyed(name: str, key: str) -> str:
    """A name that annotation writes, with `key` in the place of ``peakatlas``.

    Examples
    --------
    >>> keyed("X_peakatlas", "fine")
    'X_fine'
    """
    return name.replace(UNS_KEY, key, 1)


def level_name(column: str) -> str:
    """How a label column is called in the names of results; AnnData writes no ``/`` in a name."""
    return column.replace("/", "_")


def result_columns(adata: ad.AnnData, key: str = UNS_KEY) -> list[str]:
    """Columns of `obs` that an earlier annotation wrote; others are the user's, however called.

    Parameters
    ----------
    adata : AnnData
    key : str
        See `keyed`.
    """
    levels = _levels(adata.uns.get(key))
    names = [*OBS_COLUMNS, *TERM_COLUMNS]
    names += [f"{start}{level}" for start in _OF_LEVEL for level in levels]
    ours = {keyed(name, key) for name in names}
    if wrote_schema_column(adata, key):
        ours.add(SCHEMA_COLUMN)
    return [name for name in adata.obs if name in ours]


def wrote_schema_column(adata: ad.AnnData, key: str = UNS_KEY) -> bool:
    """Whether an earlier annotation wrote `SCHEMA_COLUMN`; else it is the user's.

    Parameters
    ----------
    adata : AnnData
    key : str
    """
    kept = adata.uns.get(key)
    return isinstance(kept, Mapping) and kept.get("schema_column") == SCHEMA_COLUMN


def in_memory_copy(adata: ad.AnnData) -> ad.AnnData:
    """A copy in memory, also of an object whose counts are in a file.

    Parameters
    ----------
    adata : AnnData
        Not modified.
    """
    stored = adata.isbacked or isinstance(adata.X, CSRDataset)
    return adata.to_memory() if stored else adata.copy()


def fresh_copy(adata: ad.AnnData) -> ad.AnnData:
    """A copy in memory, also of a backed object, without what an earlier annotation wrote.

    Parameters
    ----------
    adata : AnnData
        Not modified.
    """
    copy = in_memory_copy(adata)
    copy.obs = copy.obs.drop(columns=result_columns(adata))
    copy.var = copy.var.drop(columns=[name for name in VAR_COLUMNS if name in copy.var])
    for key in OBSM_KEYS:
        copy.obsm.pop(key, None)
    if _levels(copy.uns.get(UNS_KEY)):
        del copy.uns[UNS_KEY]
    return copy


def make_writable(adata: ad.AnnData, source: str) -> None:
    """Change in place what AnnData reads and would refuse to write.

    Nullable strings become plain ones; a column called ``_index`` is dropped where it repeats the
    names, else renamed; columns of mixed types become text; ``/`` in a name becomes ``_``.

    Parameters
    ----------
    adata : AnnData
        In memory, of a file: nobody else holds it.
    source : str
        Name of the file, for a warning about what was changed.
    """
    adata.obs, adata.var = _plain_frame(adata.obs, source), _plain_frame(adata.var, source)
    if adata.raw is not None:
        kept = adata.raw
        var = _plain_frame(kept.var, source)
        if var is not kept.var:
            raw = ad.AnnData(kept.X, var=var, varm=dict(kept.varm))
            raw.obs_names = adata.obs_names
            adata.raw = raw
    for place in (adata.obsm, adata.varm):
        for key, value in list(place.items()):
            if isinstance(value, pd.DataFrame):
                place[key] = _plain_frame(value, source)
    for place in (adata.obsm, adata.varm, adata.obsp, adata.varp, adata.layers, adata.uns):
        _rename_keys(place, source)


def rehearse(adata: ad.AnnData, source: str) -> None:
    """Write all of an object but its counts into memory, to find now what cannot be written.

    Parameters
    ----------
    adata : AnnData
        Not modified.
    source : str

    Raises
    ------
    CountsError
        Names the first part that AnnData refuses to write.
    """
    with h5py.File("rehearsal", "w", driver="core", backing_store=False) as file:
        for number, (place, value) in enumerate(_parts(adata)):
            try:
                ad.io.write_elem(file, f"{number}", value)
            except Exception as error:  # of many kinds
                reason = " ".join(str(error).split()).partition(" Error raised")[0]
                raise CountsError(
                    f"{source}: {place} cannot be written to an h5ad ({reason}). Change or remove "
                    "it in the query."
                ) from error


def _levels(kept: Any) -> list[str]:  # noqa: ANN401 - whatever stands in uns
    """Label columns of the bundle of an earlier annotation; none if there was none."""
    try:
        return [
            level_name(str(name)) for name in json.loads(str(kept["record"]))["levels"]["columns"]
        ]
    except (TypeError, KeyError, ValueError, IndexError):
        return []


def _plain_frame(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The same table, or a changed copy if AnnData could not write it."""
    changed = {name: _plain_column(frame[name]) for name in frame}
    changed = {name: column for name, column in changed.items() if column is not None}
    index = _plain_strings(frame.index.to_series())
    renamed = _new_names(frame)
    drop = _RESERVED in frame and bool((frame[_RESERVED].astype(str) == frame.index).all())
    if not changed and index is None and not renamed and not drop:
        return frame
    out = frame.copy()
    for name, column in changed.items():
        out[name] = column
    if index is not None:
        out = out.set_axis(pd.Index(index.to_numpy(object), dtype=object, name=frame.index.name))
    out = out.drop(columns=_RESERVED) if drop else out
    out = out.rename(columns=renamed)
    if out.index.name is not None and "/" in str(out.index.name):
        out.index.name = str(out.index.name).replace("/", "_")
    for old in renamed:
        if not (drop and old == _RESERVED):
            warnings.warn(
                f"{source}: column {old!r} is called {renamed[old]!r} in the output", stacklevel=2
            )
    return out


def _new_names(frame: pd.DataFrame) -> dict[Any, str]:
    """Names that AnnData refuses, and what they become."""
    taken = {str(name) for name in frame}
    renamed: dict[Any, str] = {}
    for name in frame:
        new = "index_" if name == _RESERVED else str(name).replace("/", "_")
        if new != name:
            while new in taken:
                new += "_"
            taken.add(new)
            renamed[name] = new
    return renamed


def _plain_column(column: Any) -> pd.Series[Any] | None:  # noqa: ANN401 - a frame if names repeat
    """A column that can be written, or None if this one can."""
    if not isinstance(column, pd.Series):
        return None
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _plain_categories(column)
    plain = _plain_strings(column)
    if plain is not None or (column.dtype != object and column.dtype.kind not in "Mm"):
        return plain
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "boolean":
        return column.astype("boolean")
    if kind in ("string", "empty"):
        return column.astype("category") if column.hasnans else None
    text = column.astype(object).where(column.isna(), column.astype(str))
    return text.astype("category")


def _plain_categories(column: pd.Series[Any]) -> pd.Series[Any] | None:
    names = column.cat.categories
    if pd.api.types.infer_dtype(names) in _WRITTEN and names.dtype.kind in "OSUbiuf":
        return None
    return column.cat.rename_categories([str(name) for name in names])


def _plain_strings(column: pd.Series[Any]) -> pd.Series[Any] | None:
    """Objects in place of nullable strings; None where there are none."""
    if not isinstance(column.dtype, pd.StringDtype):
        return None
    plain = column.astype(object)
    return plain.where(column.notna(), np.nan).astype("category") if column.hasnans else plain


def _rename_keys(place: Any, source: str) -> None:  # noqa: ANN401 - mappings of AnnData
    for key in [key for key in place if "/" in str(key)]:
        new = str(key).replace("/", "_")
        if new not in place:
            place[new] = place[key]
            del place[key]
            warnings.warn(f"{source}: {key!r} is called {new!r} in the output", stacklevel=2)


def _parts(adata: ad.AnnData) -> Iterator[tuple[str, Any]]:
    """All but the counts: whole tables, the first row of arrays."""
    frames = ad.AnnData(obs=adata.obs.copy(), var=adata.var.copy())
    frames.strings_to_categoricals()  # as writing does
    yield "obs", frames.obs
    yield "var", frames.var
    if adata.raw is not None:
        var = adata.raw.var.copy()
        frames.strings_to_categoricals(var)
        yield "raw.var", var
    for name in ("obsm", "varm", "layers", "obsp", "varp"):
        for key, value in getattr(adata, name).items():
            yield f"{name}[{key!r}]", {str(key): value[:1]}
    for key, value in adata.uns.items():
        yield f"uns[{key!r}]", {key: value}
