"""Fold what was appended to an atlas into one segment, in place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from peakatlas.atlas.atlas import Atlas
from peakatlas.atlas.build.places import refuse_links
from peakatlas.atlas.build.writer import LOCK_NAME, begin_after
from peakatlas.atlas.format.schema import COMPACTED
from peakatlas.atlas.format.segment import begun_segments, read_manifest, software_versions
from peakatlas.atlas.format.segment_names import segment_number
from peakatlas.atlas.storage import atomic as files
from peakatlas.atlas.storage.locks import locked
from peakatlas.engine.errors import AtlasError

from .copy_rows import Parent, copy_shards, in_genome_order, picked, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable


def compact_atlas(path: str | Path, *, progress: Callable[[int], None] | None = None) -> Atlas:
    """Rewrite an atlas of several segments as one of one segment, in place.

    All rows are written to a new segment, in genome order; replacing the manifest then swaps it for
    the others, which are removed. Whenever that is interrupted, the atlas is whole, as it was or as
    it will be, and the same call finishes it. It takes as much disk again until it is done. Rows
    get new numbers; what has the atlas open must open it anew.

    Parameters
    ----------
    path : str or Path
        Folder of a finished atlas. One of one segment stays as it is.
    progress : callable, optional
        Called with the number of rows written since its last call, perhaps from another thread.

    Returns
    -------
    Atlas
        Every interval with the embedding, digest, N fraction and state that it had.

    Raises
    ------
    AtlasError
        If segments store embeddings in different ways, a file is damaged, or the disk refuses.
    """
    root = Path(path)
    refuse_links(root)
    with locked(root, LOCK_NAME, wait=True):
        parent = Parent.open(root)
        if len(parent.segments) > 1:
            _fold(root, parent, progress or (lambda _: None))
        listed = read_manifest(root)["segments"][0]["name"]
        for name in begun_segments(root):
            if segment_number(name) < segment_number(listed):
                files.remove_folder(root / name)
        files.sweep(root, deep=False)
    return Atlas.open(root)


def _fold(root: Path, parent: Parent, progress: Callable[[int], None]) -> None:
    if len({plan.int8 for plan in parent.plans}) > 1:
        raise AtlasError(
            f"{root} holds float16 and int8 embeddings, or int8 of several codes: one segment "
            f"cannot keep them all as they are. Write an int8 atlas of them: peakatlas atlas "
            f"quantise {root} -o OUT."
        )
    table, order = in_genome_order([parent])
    picks = picked(table, order)
    peaks = parent.plans[0].peaks
    same = all(plan.peaks == peaks for plan in parent.plans)
    plan = plan_of([parent], picks, by=COMPACTED, peaks=peaks if same else None, int8=parent.int8)
    writer = begin_after(root, parent.manifest["segments"][-1]["name"], picks.intervals, plan)
    writer.made_with = _made_with(parent)
    copy_shards(writer, [parent], picks, progress)


def _made_with(parent: Parent) -> dict[str, str]:
    """Software and devices on which all segments agree, beside what writes the new one."""
    held = [set(entry["software"].items()) for entry in parent.manifest["segments"]]
    common = dict(set.intersection(*held))
    return {name: value for name, value in common.items() if name not in software_versions()}
