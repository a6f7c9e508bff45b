"""Read an atlas: its intervals, its rows, and lookups; needs no model and no torch."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.storage import LocalStore

from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals import Intervals
from peakatlas.engine.spec import EmbeddingSpec

from .digest import DigestIndex
from .lookup import LookupResult, look_up
from .overlap import OverlapIndex
from .schema import ABSENT, EMBEDDED, INTERVAL_COLUMNS, ROW_COLUMNS, STATES
from .segment import Segment, read_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

_SHOWN = 5


class Atlas:
    """An atlas opened for reading; safe to share between threads.

    It is a view of what was finished when it was opened: rows appended later are not in it.
    Use `open`; the constructor takes the manifest that `open` has checked.

    Parameters
    ----------
    root : Path
        Folder of the atlas.
    manifest : mapping
        Checked manifest.
    """

    def __init__(self, root: Path, manifest: Mapping[str, Any]) -> None:
        self.path = root
        self._manifest = manifest
        self._segments = [_OpenSegment(Segment(root, s["name"])) for s in manifest["segments"]]
        self.spec = EmbeddingSpec.from_json(manifest["spec"])
        self.dim = self.spec.dim
        self._first_rows = np.cumsum([0, *(s.n_rows for s in self._segments)]).astype(np.int64)

    @classmethod
    def open(cls, path: str | Path) -> Atlas:
        """Open a finished atlas.

        Parameters
        ----------
        path : str or Path
            Folder of the atlas.

        Returns
        -------
        Atlas

        Raises
        ------
        AtlasError
            If there is no atlas, its format is newer than this software, or a file that the
            manifest lists is absent or has another size.
        IncompleteAtlasError
            If it is not finished; names the missing shards.
        """
        root = Path(path)
        manifest = read_manifest(root)
        _check_sizes(root, manifest)
        return cls(root, manifest)

    def close(self) -> None:
        """Drop what is cached; reading again loads it anew."""
        for name in ("intervals", "state", "coordinate_index", "digest_index"):
            self.__dict__.pop(name, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._first_rows[-1])

    def __repr__(self) -> str:
        return f"Atlas({str(self.path)!r}, {len(self)} intervals × {self.dim}, {self.spec.model})"

    @property
    def name(self) -> str:
        """Path of the atlas, as named in errors."""
        return str(self.path)

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the atlas comes from: spec, genome, model, peaks, software, segments."""
        plan = self._segments[0].plan
        return {
            "format_version": self._manifest["format_version"],
            "spec": self.spec.to_json(),
            "spec_digest": self.spec.digest,
            "genome": plan.genome,
            "model": plan.model,
            "peaks": plan.peaks,
            "segments": [
                {key: entry[key] for key in ("name", "n_rows", "finished", "software")}
                for entry in self._manifest["segments"]
            ],
        }

    @cached_property
    def intervals(self) -> Intervals:
        """Interval of each row."""
        return Intervals.concatenate([segment.intervals() for segment in self._segments])

    @cached_property
    def state(self) -> NDArray[np.uint8]:
        """State of each row, see `schema.STATES`; uint8, shape (n,)."""
        state: NDArray[np.uint8] = self._column("state")
        return state

    @property
    def digests(self) -> NDArray[np.uint8]:
        """Digest of each row's window sequence(s); uint8, shape (n, 16)."""
        digests: NDArray[np.uint8] = self._column("digest")
        return digests

    @property
    def n_fraction(self) -> NDArray[np.float32]:
        """Share of N in each row's window(s); float32, shape (n,)."""
        n_fraction: NDArray[np.float32] = self._column("n_fraction")
        return n_fraction

    @cached_property
    def coordinate_index(self) -> OverlapIndex:
        """Overlap join over `intervals`."""
        return OverlapIndex(self.intervals)

    @cached_property
    def digest_index(self) -> DigestIndex:
        """Embedded rows by their sequence."""
        rows = np.flatnonzero(self.state == EMBEDDED)
        return DigestIndex(self.digests[rows], rows)

    def lookup(
        self,
        peaks: Intervals,
        *,
        max_offset: int | None = None,
        digests: NDArray[np.uint8] | None = None,
    ) -> LookupResult:
        """Find the row that serves each peak; see `lookup.look_up`.

        Parameters
        ----------
        peaks : Intervals
        max_offset : int, optional
            Accept an overlapping row whose centre is at most this far away, in bp.
        digests : uint8, shape (n, 16), optional
            Digest of each peak's window sequence(s); switches the tier ``sequence`` on.

        Returns
        -------
        LookupResult
            In the order of `peaks`.

        Raises
        ------
        ContigError
            If no contig of the peaks is in the atlas, and only the naming style differs.
        IntervalError
            If `max_offset` is negative.
        AtlasError
            If `digests` has another length than `peaks`.
        """
        return look_up(self, peaks, max_offset=max_offset, digests=digests)

    def gather(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Embeddings of rows, in the order given.

        Parameters
        ----------
        rows : int, shape (n,)
            Each from 0 to ``len(atlas) - 1``; repeats are fine.

        Returns
        -------
        float32, shape (n, dim)
            NaN for masked rows (their window is all N).

        Raises
        ------
        AtlasError
            If a row is outside the atlas, or a shard is damaged.
        """
        wanted = np.asarray(rows, np.int64).reshape(-1)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(outside):
            raise AtlasError(
                f"{len(outside)} row(s) are outside 0 … {len(self) - 1} of {self.path}: "
                f"{outside[:_SHOWN].tolist()}."
            )
        out = np.empty((len(wanted), self.dim), np.float32)
        owner = np.searchsorted(self._first_rows, wanted, side="right") - 1
        for number, segment in enumerate(self._segments):
            at = np.flatnonzero(owner == number)
            segment.gather_into(out, at, wanted[at] - self._first_rows[number])
        _check_filled(out, self.state[wanted], wanted, self.name)
        return out

    def info(self) -> dict[str, Any]:
        """Facts about the atlas as JSON types: size, model, licence, genome, states."""
        plan = self._segments[0].plan
        sizes = [file["bytes"] for s in self._manifest["segments"] for file in s["files"].values()]
        counts = np.bincount(self.state, minlength=len(STATES))
        return {
            "path": str(self.path),
            "format_version": self._manifest["format_version"],
            "n_intervals": len(self),
            "dim": self.dim,
            "n_contigs": len(self.intervals.contigs),
            "n_segments": len(self._segments),
            "n_shards": sum(segment.plan.n_shards for segment in self._segments),
            "bytes": sum(sizes),
            "states": dict(zip(STATES, map(int, counts), strict=True)),
            "model": self.spec.model,
            "licence": plan.model.get("licence"),
            "window": self.spec.window,
            "spec_digest": self.spec.digest,
            "genome": plan.genome.get("name"),
            "finished": self._manifest["segments"][-1]["finished"],
        }

    def _column(self, name: str) -> NDArray[Any]:
        return np.concatenate([segment.column(name) for segment in self._segments])


class _OpenSegment:
    """The arrays of one finished segment."""

    def __init__(self, segment: Segment) -> None:
        self.folder, self.plan = segment.folder, segment.plan
        self.n_rows = self.plan.n_rows
        store = LocalStore(self.folder, read_only=True)
        self._arrays = {
            name: zarr.open_array(store, path=name, mode="r")
            for name in (*INTERVAL_COLUMNS, *ROW_COLUMNS)
        }

    def intervals(self) -> Intervals:
        contig, start, end = (self.column(name) for name in INTERVAL_COLUMNS)
        return Intervals(self.plan.contigs, contig, start, end)

    def column(self, name: str) -> NDArray[Any]:
        return self._read(name, slice(0, self.n_rows))

    def gather_into(
        self, out: NDArray[np.float32], at: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> None:
        """Set ``out[at]`` to `rows`, reading each shard once: the span that is wanted of it."""
        order = np.argsort(rows, kind="stable")
        at, rows = at[order], rows[order]
        shards, first = np.unique(rows // self.plan.shard_rows, return_index=True)
        for block in np.split(np.arange(len(rows)), first[1:]) if len(shards) else []:
            low, high = rows[block[0]], rows[block[-1]] + 1
            span = self._read("embedding", slice(int(low), int(high)))
            out[at[block]] = np.take(span, rows[block] - low, axis=0)

    def _read(self, name: str, rows: slice) -> NDArray[Any]:
        try:
            return np.asarray(self._arrays[name][rows])
        except (ValueError, RuntimeError, OSError) as error:
            raise AtlasError(
                f"{self.folder / name} rows {rows.start}-{rows.stop} cannot be read ({error}): "
                "the shard is damaged. Restore it from a copy, or delete its file and run the "
                "same `peakatlas atlas build` again."
            ) from error


def _check_sizes(root: Path, manifest: Mapping[str, Any]) -> None:
    wrong = [
        f"{segment['name']}/{name}"
        for segment in manifest["segments"]
        for name, file in segment["files"].items()
        if not _has_size(root / segment["name"] / name, file["bytes"])
    ]
    if wrong:
        shown = ", ".join(wrong[:_SHOWN])
        raise AtlasError(
            f"{root} is damaged: {len(wrong)} file(s) are absent or have another size ({shown}). "
            "Restore them from a copy, or run the same `peakatlas atlas build` again."
        )


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _check_filled(
    values: NDArray[np.float32], state: NDArray[np.uint8], rows: NDArray[np.int64], where: str
) -> None:
    wrong = rows[(state == ABSENT) | ((state == EMBEDDED) & np.isnan(values[:, 0]))]
    if len(wrong):
        raise AtlasError(
            f"{where} is damaged: {len(wrong)} row(s) hold no embedding although they are listed "
            f"({wrong[:_SHOWN].tolist()}). Restore the atlas from a copy, or build it again."
        )
