"""Lay out the groups and arrays of a segment, so that any Zarr reader finds names and meanings."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import zarr
from zarr.storage import MemoryStore

from .schema import FORMAT, STATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from zarr.core.buffer import Buffer

    from .schema import Plan

INTERVALS = "intervals"
"""Group of the interval columns."""


def segment_files(
    plan: Plan, columns: Mapping[str, NDArray[Any]] | None = None
) -> dict[str, bytes]:
    """Content of the groups and arrays of a segment, by path below it; the plan says all of it.

    Parameters
    ----------
    plan : Plan
    columns : mapping, optional
        Rows that are written at once, by the name of their array.
    """
    held: dict[str, Buffer] = {}
    store = MemoryStore(held)
    described = plan.lists_checksums  # both came with versions 1.1 and 2.1
    zarr.create_group(store, attributes=segment_attributes(plan) if described else {})
    if described:
        zarr.create_group(store, path=INTERVALS, attributes=contig_attributes(plan))
    for name, layout in plan.layouts.items():
        attributes = STATE_ATTRIBUTES if described and name == "state" else {}
        array = layout.create(store, attributes=attributes, named=described)
        if columns is not None and name in columns:
            array[:] = columns[name]
    if described:
        _consolidate(store)
    return {name: buffer.to_bytes() for name, buffer in held.items()}


STATE_ATTRIBUTES = {
    "flag_values": list(range(len(STATES))),
    "flag_meanings": " ".join(STATES),
}
"""Of the array ``state``, as the CF conventions name the values of a flag."""


def segment_attributes(plan: Plan) -> dict[str, Any]:
    """What the group of a segment says: format, spec, model, and the code of int8 embeddings."""
    held: dict[str, Any] = {
        "format": FORMAT,
        "format_version": plan.format_version,
        "spec": plan.spec.to_json(),
        "model": plan.model,
    }
    if plan.int8 is not None:
        held |= {
            "embedding_scale": list(plan.int8.scale),
            "embedding_offset": list(plan.int8.offset),
        }
    return _sorted(held)


def contig_attributes(plan: Plan) -> dict[str, Any]:
    """What the group of intervals says: name and, where known, length in bp of each contig."""
    known = plan.genome.get("contigs", {})
    sizes = [known.get(name, {}).get("bp") for name in plan.contigs]
    return {"contigs": list(plan.contigs)} | ({"contig_bp": sizes} if any(sizes) else {})


def _sorted(values: dict[str, Any]) -> dict[str, Any]:
    """The same with keys in order, so that a plan that was read gives the bytes it was made of."""
    held: dict[str, Any] = json.loads(json.dumps(values, sort_keys=True))
    return held


def _consolidate(store: MemoryStore) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
        zarr.consolidate_metadata(store)
