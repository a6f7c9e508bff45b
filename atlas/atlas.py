"""Read an atlas: its intervals, its rows, and lookups; needs no model and no torch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from peakatlas.atlas.format import opening
from peakatlas.atlas.format.digests import DigestIndex, known_sequences
from peakatlas.atlas.format.open_segment import by_segment
from peakatlas.atlas.format.schema import EMBEDDED, STATES
from peakatlas.atlas.search.faiss_coordinates import FaissCoordinateIndex
from peakatlas.atlas.search.lookup import LookupResult, look_up, with_sequences
from peakatlas.atlas.search.near_rows import MOST_SHARE, NearRows, rows_near
from peakatlas.atlas.search.neighbour_index import centre_of, trained_index
from peakatlas.atlas.search.neighbours import N_PROBE, Neighbours, nearest_rows, query_rows
from peakatlas.atlas.search.overlap_mean import OverlapMean, overlap_mean
from peakatlas.atlas.storage.urls import open_storage
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.overlap import OverlapIndex
from peakatlas.engine.intervals.table import Intervals, as_intervals
from peakatlas.engine.spec import EmbeddingSpec
from peakatlas.engine.summary import Summary

from .exchange import Exchange
from .summary import atlas_facts, stored_facts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    from peakatlas.atlas.search.faiss_tools import FaissIndex
    from peakatlas.atlas.search.neighbours import IndexName as SearchName
    from peakatlas.atlas.storage.base import Storage
    from peakatlas.engine.intervals.overlap import CoordinateIndex, IndexName
    from peakatlas.engine.intervals.table import IntervalTable

    T = TypeVar("T")


class Atlas(Exchange, Summary):
    """An atlas opened for reading; safe to share between threads.

    It is a view of what was finished when it was opened: rows appended later are not in it.
    Use `open`; the constructor takes the manifest that `open` has checked.

    Parameters
    ----------
    storage : Storage
        Where the atlas lies.
    manifest : mapping
        Checked manifest.

    Examples
    --------
    >>> Atlas.open("atlas.zarr").gather([0, 1]).shape
    (2, 64)
    """

    def __init__(self, storage: Storage, manifest: Mapping[str, Any]) -> None:
        self._storage, self._manifest = storage, manifest
        self._segments = opening.open_segments(storage, manifest)
        self.spec = EmbeddingSpec.from_json(manifest["spec"])
        self.dim = self.spec.dim
        self._n_rows = sum(segment.n_rows for segment in self._segments)
        self._lock = threading.RLock()
        self._kept: dict[str, object] = {}
        self._n_read = 0  # intervals read by parts; beyond a share of them, all are

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        storage_options: Mapping[str, Any] | None = None,
        mirror: str | Path | bool = False,
    ) -> Atlas:
        """Open a finished atlas.

        Parameters
        ----------
        path : str or Path
            Folder of the atlas, or any URL that fsspec knows: ``https://``, ``s3://``,
            ``memory://``. A remote atlas is read range by range as rows are asked for.
        storage_options : mapping, optional
            Given to the fsspec filesystem of a URL, such as ``{"anon": True}`` for a public bucket.
        mirror : str, Path or bool
            Copy a remote atlas once into this folder, or into the cache if True, and read the
            copy; see `mirror.mirror_atlas`.

        Returns
        -------
        Atlas

        Raises
        ------
        AtlasError
            If there is no atlas, its format is newer than this software, the server does not
            answer, or a local file that the manifest lists is absent or has another size.
        IncompleteAtlasError
            If it is not finished; names the missing shards.
        MissingDependencyError
            If the package that speaks the protocol of a URL is not installed.
        """
        if mirror:
            from peakatlas.atlas.mirror import mirror_atlas  # noqa: PLC0415 - seldom needed

            folder = None if mirror is True else mirror
            path = mirror_atlas(path, folder, storage_options=storage_options)
        storage = open_storage(path, storage_options=storage_options)
        manifest = opening.manifest_of(storage)
        if storage.local_path() is not None:
            opening.check_sizes(storage, manifest)
        return cls(storage, manifest)

    def close(self) -> None:
        """Drop what is cached; reading again loads it anew."""
        with self._lock:
            self._kept.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._n_rows

    def _summary(self) -> tuple[str, dict[str, object]]:
        return f"Atlas {self.name!r}", atlas_facts(self.provenance)

    @property
    def name(self) -> str:
        """Path or URL of the atlas, as named in errors."""
        return self._storage.name

    @property
    def path(self) -> Path:
        """Folder of the atlas.

        Raises
        ------
        AtlasError
            If it is read from a URL, and so cannot be written to.
        """
        folder = self._storage.local_path()
        if folder is None:
            raise AtlasError(
                f"{self.name} is read over the network and cannot be changed. Copy it first: "
                f"peakatlas atlas mirror {self.name} FOLDER."
            )
        return folder

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
            "derived": plan.derived,
            "segments": [
                {key: entry[key] for key in ("name", "n_rows", "finished", "software")}
                for entry in self._manifest["segments"]
            ],
        }

    @property
    def genomes(self) -> list[dict[str, Any]]:
        """Provenance of the genome of each segment."""
        return [segment.plan.genome for segment in self._segments]

    @property
    def intervals(self) -> Intervals:
        """Interval of each row."""
        return self._once(
            "intervals", lambda: Intervals.concatenate([s.intervals() for s in self._segments])
        )

    @property
    def state(self) -> NDArray[np.uint8]:
        """State of each row, see `schema.STATES`; uint8, shape (n,)."""
        return self._once("state", lambda: self._column("state"))

    @property
    def digests(self) -> NDArray[np.uint8]:
        """Digest of each row's window sequence(s); uint8, shape (n, 16)."""
        return self._column("digest")

    @property
    def n_fraction(self) -> NDArray[np.float32]:
        """Share of N in each row's window(s); float32, shape (n,)."""
        return self._column("n_fraction")

    @property
    def coordinate_index(self) -> OverlapIndex:
        """Overlap join over `intervals`."""
        return self._once("coordinate_index", lambda: OverlapIndex(self.intervals))

    @property
    def digest_index(self) -> DigestIndex:
        """Embedded rows by their sequence."""
        return self._once("digest_index", self._make_digest_index)

    def lookup(
        self,
        peaks: IntervalTable,
        *,
        max_offset: int | None = None,
        digests: NDArray[np.uint8] | None = None,
        index: IndexName | CoordinateIndex = "ncls",
    ) -> LookupResult:
        """Find the row that serves each peak; see `lookup.look_up`.

        Parameters
        ----------
        peaks : Intervals, pandas.DataFrame or pyranges.PyRanges
            In any order; repeats are fine. Peaks on contigs that the atlas lacks are missing.
        max_offset : int, optional
            Accept the best overlapping row whose centre is at most this far away, in bp; off by
            default, see `RECOMMENDED_MAX_OFFSET` for what it costs.
        digests : uint8, shape (n, 16), optional
            Digest of each peak's window sequence(s); switches the tier ``sequence`` on.
        index : {"ncls", "faiss"} or CoordinateIndex
            What finds the overlaps; the result is the same. A `FaissCoordinateIndex` made with
            ``gpu=0`` searches on that GPU.

        Returns
        -------
        LookupResult
            In the order of `peaks`.

        Raises
        ------
        ContigError
            If no contig of the peaks is in the atlas, and only the naming style differs.
        IntervalError
            If `max_offset` is negative, or `peaks` is a table that cannot be used.
        AtlasError
            If `digests` has another length than `peaks`, or there is no such index.
        MissingDependencyError
            If `index` is ``faiss`` and faiss is not installed.
        """
        table = as_intervals(peaks)
        near = self._near(table) if index == "ncls" and digests is None else None
        if near is not None:
            return near.look_up(table, max_offset=max_offset)
        found = look_up(self, table, max_offset=max_offset, index=self._joined_by(index))
        return found if digests is None else with_sequences(found, digests, self.digest_index)

    def overlap_mean(
        self, peaks: IntervalTable, *, index: IndexName | CoordinateIndex = "ncls"
    ) -> OverlapMean:
        """Mean embedding of the rows that each peak overlaps; see `overlap_mean.overlap_mean`.

        Raises
        ------
        IntervalError, AtlasError
            If `peaks` cannot be used; if a shard is damaged, or there is no such index.
        """
        return overlap_mean(self, peaks, index=self._joined_by(index))

    @property
    def centre(self) -> NDArray[np.float32]:
        """Mean of the embedded rows, shape (dim,); made once an atlas and kept in the cache."""
        return self._once("centre", lambda: centre_of(self, self._manifest["sha256"]))

    def ivf_index(self) -> FaissIndex:
        """FAISS index for approximate search; see `neighbour_index.trained_index`."""
        return self._once("ivf", lambda: trained_index(self, self._manifest["sha256"]))

    def neighbours(
        self,
        query: Intervals | ArrayLike,
        *,
        k: int = 10,
        region: Intervals | None = None,
        index: SearchName = "exact",
        n_probe: int = N_PROBE,
        with_self: bool = False,
    ) -> Neighbours:
        """Rows of nearest embedding by centred cosine; see `neighbours.nearest_rows`.

        Parameters
        ----------
        query : Intervals or int, shape (n,)
            Rows, or intervals: each stands for its row, else for the one it overlaps best.
        k, region, index, n_probe
            As in `neighbours.nearest_rows`.
        with_self : bool
            Whether a query's own row may be among its hits.

        Raises
        ------
        IntervalError, ContigError, AtlasError, MissingDependencyError
            As `neighbours.nearest_rows`; if no row overlaps a query, or it is masked.
        """
        given = query_rows(self, query) if isinstance(query, Intervals) else query
        rows = np.asarray(given, np.int64).reshape(-1)
        return nearest_rows(
            self,
            self.gather(rows),
            k=k,
            region=region,
            index=index,
            n_probe=n_probe,
            leave_out=None if with_self else rows,
        )

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
        opening.check_inside(wanted, len(self), self.name)
        out = np.empty((len(wanted), self.dim), np.float32)
        for segment, at, inside in by_segment(self._segments, wanted):
            segment.gather_into(out, at, inside)
        opening.check_filled(out, self._state_of(wanted), wanted, self.name)
        return out

    def info(self) -> dict[str, Any]:
        """Facts about the atlas as JSON types: size, model, licence, genome, states."""
        plans = [segment.plan for segment in self._segments]
        counts = np.bincount(self.state, minlength=len(STATES))
        states = dict(zip(STATES, map(int, counts), strict=True))
        return {"path": self.name, "states": states} | stored_facts(self._manifest, plans)

    def _column(self, name: str) -> NDArray[Any]:
        parts = [segment.column(name) for segment in self._segments]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _state_of(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """State of some rows; of a remote atlas no more is fetched than these need."""
        if self._storage.local_path() is not None or "state" in self._kept:
            return self.state[rows]
        state = np.empty(len(rows), np.uint8)
        for segment, at, inside in by_segment(self._segments, rows):
            state[at] = segment.column("state", inside)
        return state

    def _near(self, peaks: Intervals) -> NearRows | None:
        """Rows that may overlap peaks; None where reading all intervals costs little more."""
        if "intervals" in self._kept:
            return None
        found = rows_near(self._segments, peaks, MOST_SHARE * len(self) - self._n_read)
        if found is None:
            return None
        rows, table = found
        self._n_read += len(rows)
        return NearRows(name=self.name, rows=rows, intervals=table, states_of=self._state_of)

    def _joined_by(self, index: IndexName | CoordinateIndex) -> CoordinateIndex:
        if not isinstance(index, str):
            return index
        if index == "faiss":
            return self._once("faiss_index", lambda: FaissCoordinateIndex(self.intervals))
        if index != "ncls":
            raise AtlasError(f"index {index!r} is neither 'ncls' nor 'faiss'.")
        return self.coordinate_index

    def _make_digest_index(self) -> DigestIndex:
        digests = self.digests
        rows = np.flatnonzero((self.state == EMBEDDED) & known_sequences(digests))
        return DigestIndex(digests if len(rows) == len(self) else digests[rows], rows)

    def _once(self, name: str, make: Callable[[], T]) -> T:
        """What was made under this name, made now if it was not; by one thread only."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            return cast("T", self._kept[name])
