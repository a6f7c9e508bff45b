"""What a neighbour search needs once an atlas: the mean embedding and a trained FAISS index.

Both are made when first asked for and kept in the cache folder, ``$XDG_CACHE_HOME/peakatlas``,
under the digest of the manifest and the settings, so that the atlas itself may be read-only and a
changed atlas never meets an outdated index. Files appear there whole, are made again when they
cannot be read, and go when they were long unused.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.atlas.format.digests import json_digest
from peakatlas.atlas.format.schema import EMBEDDED
from peakatlas.atlas.storage.cache import is_kept, keep
from peakatlas.engine.dna.fasta import cache_folder

from .faiss_tools import FaissIndex, import_faiss
from .neighbours import ROWS_PER_BLOCK, centred, mean_row

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from .targets import AtlasRows

MOST_LISTS = 2048
ROWS_PER_LIST = 40
"""Rows that train a list; FAISS warns below 39."""
_VERSION = 2


def centre_of(atlas: AtlasRows, manifest_sha256: str) -> NDArray[np.float32]:
    """Mean of the embedded rows; reads all of them when it is not in the cache.

    Raises
    ------
    AtlasError
        If no row is embedded, a shard is damaged, or the cache cannot be written.
    """
    path = _cached_path(manifest_sha256, "centre", ".npy")
    if is_kept(path):
        with suppress(ValueError, OSError):
            centre: NDArray[np.float32] = np.load(path, allow_pickle=False)
            if centre.shape == (atlas.dim,):
                return centre
    mean = mean_row(atlas)

    def save(aside: Path) -> None:
        with aside.open("wb") as handle:
            np.save(handle, mean, allow_pickle=False)

    keep(path, save)
    return mean


def trained_index(atlas: AtlasRows, manifest_sha256: str) -> FaissIndex:
    """Inverted lists of the centred, normalised embedded rows, 8 bits a dimension; ids are rows.

    Training is deterministic. The index is mapped from the cache, not read into memory.

    Raises
    ------
    AtlasError
        If a shard is damaged, or the cache cannot be written.
    MissingDependencyError
        If faiss is not installed.
    """
    faiss = import_faiss()
    path = _cached_path(manifest_sha256, f"ivf-sq8-{MOST_LISTS}-{ROWS_PER_LIST}", ".faiss")
    mapped = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY
    if is_kept(path):
        with suppress(RuntimeError):  # what FAISS raises for a file that it cannot read
            return faiss.read_index(str(path), mapped)
    built = _build(atlas)

    def save(aside: Path) -> None:
        try:
            faiss.write_index(built, str(aside))
        except RuntimeError as error:
            raise OSError(str(error)) from error

    keep(path, save)
    return faiss.read_index(str(path), mapped)


def n_lists_for(n_rows: int) -> int:
    """Inverted lists for so many rows: a power of two near 4 sqrt(n), each trained by enough rows.

    Examples
    --------
    >>> [n_lists_for(n) for n in (10, 1_000, 100_000, 2_350_000)]
    [1, 16, 1024, 2048]
    """
    wanted = min(MOST_LISTS, 4 * n_rows**0.5, n_rows / ROWS_PER_LIST)
    return 1 << max(0, int(np.log2(max(1.0, wanted))))


def _build(atlas: AtlasRows) -> FaissIndex:
    faiss = import_faiss()
    embedded = np.flatnonzero(atlas.state == EMBEDDED)
    n_lists = n_lists_for(len(embedded))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(atlas.dim),
        atlas.dim,
        n_lists,
        faiss.ScalarQuantizer.QT_8bit,
        faiss.METRIC_INNER_PRODUCT,
    )
    index.cp.spherical = True
    n_training = min(len(embedded), ROWS_PER_LIST * n_lists)
    chosen = embedded[np.linspace(0, len(embedded) - 1, n_training).astype(np.int64)]
    index.train(centred(atlas.gather(chosen), atlas.centre))
    for low in range(0, len(embedded), ROWS_PER_BLOCK):
        rows = embedded[low : low + ROWS_PER_BLOCK]
        index.add_with_ids(centred(atlas.gather(rows), atlas.centre), rows)
    return index


def _cached_path(manifest_sha256: str, what: str, suffix: str) -> Path:
    key = json_digest({"manifest": manifest_sha256, "what": what, "version": _VERSION})
    return cache_folder() / "neighbours" / f"{key[:32]}{suffix}"
