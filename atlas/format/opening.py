"""From a storage to the manifest and the segments of a finished atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.storage.urls import read_json
from peakatlas.engine.errors import AtlasError

from .open_segment import OpenSegment
from .schema import ABSENT, EMBEDDED, MANIFEST_NAME, SHOWN, check_manifest
from .segment import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from peakatlas.atlas.storage.base import Storage


def manifest_of(storage: Storage) -> dict[str, Any]:
    """Read and check the manifest of an atlas.

    Raises
    ------
    AtlasError
        If there is no atlas, or one of a newer version, or the manifest was edited.
    IncompleteAtlasError
        If a local atlas is not finished; names the missing shards.
    """
    folder = storage.local_path()
    if folder is not None:
        return read_manifest(folder)
    try:
        manifest = read_json(storage, MANIFEST_NAME)
    except FileNotFoundError as error:
        raise not_finished(storage) from error
    check_manifest(manifest, storage.where(MANIFEST_NAME))
    return manifest


def not_finished(storage: Storage) -> AtlasError:
    """What to say where a URL has no manifest."""
    return AtlasError(
        f"{storage.name} is not an atlas, or not a finished one (no {MANIFEST_NAME}). Check "
        "the URL: it is that of the folder."
    )


def listed_files(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Path below the atlas of each file that a manifest lists, and what it says of it."""
    for entry in manifest["segments"]:
        for name, file in entry["files"].items():
            yield f"{entry['name']}/{name}", file


def open_segments(storage: Storage, manifest: Mapping[str, Any]) -> list[OpenSegment]:
    """Open the segments that a manifest lists.

    Raises
    ------
    AtlasError
        If a plan is absent, damaged or of a newer version.
    """
    try:
        segments = [OpenSegment(storage, entry) for entry in manifest["segments"]]
    except FileNotFoundError as error:
        raise AtlasError(
            f"{storage.name} is damaged: the plan of a segment is absent ({error}). Restore it "
            f"from a copy; `peakatlas atlas verify {storage.name}` names all faults."
        ) from error
    for segment in segments:
        if segment.plan.spec.to_json() != manifest["spec"]:
            raise AtlasError(
                f"{storage.where(segment.name)} is of another spec than the manifest: "
                f"`peakatlas atlas verify {storage.name}` names all faults."
            )
    return segments


def check_sizes(storage: Storage, manifest: Mapping[str, Any]) -> None:
    """Refuse a local atlas of which a listed file is absent or has another size.

    Raises
    ------
    AtlasError
        Names the files.
    """
    wrong = [
        name
        for name, file in listed_files(manifest)
        if not (storage.exists(name) and storage.size(name) == file["bytes"])
    ]
    if wrong:
        shown = ", ".join(wrong[:SHOWN])
        raise AtlasError(
            f"{storage.name} is damaged: {len(wrong)} file(s) are absent or have another size "
            f"({shown}). Restore them from a copy, or run `peakatlas atlas verify {storage.name} "
            "--repair --genome GENOME.fa`."
        )


def check_inside(rows: NDArray[np.int64], n_rows: int, where: str) -> None:
    """Refuse rows that are not in the atlas.

    Raises
    ------
    AtlasError
        Names the first of them.
    """
    outside = rows[(rows < 0) | (rows >= n_rows)]
    if len(outside):
        raise AtlasError(
            f"{len(outside)} row(s) are outside 0 … {n_rows - 1} of {where}: "
            f"{outside[:SHOWN].tolist()}."
        )


def check_filled(
    values: NDArray[np.float32], state: NDArray[np.uint8], rows: NDArray[np.int64], where: str
) -> None:
    """Refuse rows that hold no embedding although they are listed.

    Raises
    ------
    AtlasError
        Names the first of them.
    """
    wrong = rows[(state == ABSENT) | ((state == EMBEDDED) & np.isnan(values[:, 0]))]
    if len(wrong):
        raise AtlasError(
            f"{where} is damaged: {len(wrong)} row(s) hold no embedding although they are listed "
            f"({wrong[:SHOWN].tolist()}). Restore the atlas from a copy, or run "
            f"`peakatlas atlas verify {where} --repair --genome GENOME.fa`."
        )
