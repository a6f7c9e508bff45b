"""Stage 1: cells as vectors, inductively; a new cell needs nothing to be fitted again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD

from peakatlas.engine.errors import BundleError

from .sparse import binary, carry, inverse_document_frequency, tf_idf, unit_rows, unit_sums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Representation = Literal["hybrid", "sequence", "reindexed"]
REPRESENTATIONS: tuple[Representation, ...] = ("hybrid", "sequence", "reindexed")
_EPS = 1e-6


@dataclass(frozen=True, eq=False)
class PeakTable:
    """What is known of the peaks of one count matrix.

    Parameters
    ----------
    values : float32, shape (n_peaks, dim)
        Embeddings; a row of NaN where there is none. `dim` may be 0.
    rows : int64, shape (n_peaks,)
        Registry row that a peak is carried to, -1 if none.
    """

    values: NDArray[np.float32]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def embedded(self) -> NDArray[np.bool_]:
        """Which peaks have an embedding, shape (n_peaks,)."""
        if self.values.shape[1] == 0:
            return np.zeros(len(self), np.bool_)
        return np.asarray(np.isfinite(self.values[:, 0]))

    def take(self, peaks: NDArray[np.bool_] | NDArray[np.int64]) -> PeakTable:
        """Some of the peaks."""
        return PeakTable(self.values[peaks], self.rows[peaks])


@dataclass(frozen=True, eq=False, kw_only=True)
class CellEncoder:
    """Frozen maps from counts to cell embeddings.

    *sequence*: a cell is the mean of the centred and whitened embeddings of its open peaks,
    weighted by inverse document frequency. *reindexed*: counts are carried to registry rows,
    then TF-IDF and truncated SVD. *hybrid*: both side by side, each standardised.
    """

    representation: Representation
    mix: float
    """Share of the sequence block in the squared length of a hybrid vector, in [0, 1]."""
    rows: NDArray[np.int64]
    """Registry rows of the reference, sorted, shape (n_rows,)."""
    idf: NDArray[np.float32]
    """Inverse document frequency of `rows`, shape (n_rows,)."""
    tfidf_scale: float
    """Root mean square length of the reference's TF-IDF rows."""
    axes: NDArray[np.float32]
    """Right singular vectors, shape (n_rows, n_reindexed)."""
    reindexed_mean: NDArray[np.float32]
    reindexed_scale: NDArray[np.float32]
    peak_mean: NDArray[np.float32]
    """Mean embedding over the reference's peaks, shape (dim,)."""
    peak_axes: NDArray[np.float32]
    """Whitening, shape (dim, n_sequence)."""
    sequence_mean: NDArray[np.float32]
    sequence_scale: NDArray[np.float32]

    @classmethod
    def fit(
        cls,
        counts: sp.csr_matrix,
        peaks: PeakTable,
        *,
        representation: Representation = "hybrid",
        n_sequence: int = 64,
        n_reindexed: int = 50,
        seed: int = 0,
    ) -> CellEncoder:
        """Fit on reference cells.

        Parameters
        ----------
        counts : csr_matrix of float32, shape (n_cells, n_peaks)
        peaks : PeakTable, length n_peaks
        representation : {"hybrid", "sequence", "reindexed"}
            ``hybrid`` becomes ``reindexed`` where no peak has an embedding.
        n_sequence, n_reindexed : int
            Dimensions of the two blocks, at most.
        seed : int

        Raises
        ------
        ValueError
            If ``sequence`` is asked for and fewer than 2 peaks have an embedding, or the
            representation is not known.
        """
        chosen = _representation(representation, peaks)
        rows = np.unique(peaks.rows[peaks.rows >= 0])
        idf = inverse_document_frequency(carry(counts, peaks.rows, rows))
        peak_mean, peak_axes = _whitening(peaks, n_sequence)
        blank = np.zeros(0, np.float32)
        draft = cls(
            representation=chosen,
            mix=0.5 if chosen == "hybrid" else float(chosen == "sequence"),
            rows=rows,
            idf=idf,
            tfidf_scale=1.0,
            axes=np.zeros((len(rows), 0), np.float32),
            reindexed_mean=blank,
            reindexed_scale=blank,
            peak_mean=peak_mean,
            peak_axes=peak_axes,
            sequence_mean=blank,
            sequence_scale=blank,
        )
        return draft._with_reindexed(counts, peaks, n_reindexed, seed)._with_sequence(counts, peaks)

    def transform(
        self, counts: sp.csr_matrix, peaks: PeakTable, *, own_statistics: bool = False
    ) -> NDArray[np.float32]:
        """Embed cells.

        Parameters
        ----------
        counts : csr_matrix of float32, shape (n_cells, n_peaks)
        peaks : PeakTable, length n_peaks
            May be other peaks than those of the reference.
        own_statistics : bool
            Centre and scale the sequence block by these cells instead of the reference's: for
            peak sets that differ so much that their means do.

        Returns
        -------
        float32, shape (n_cells, dim)
            A cell without usable peaks is 0 in the block concerned.
        """
        parts = []
        if self.representation != "reindexed" and self.mix > 0:
            sequence = self.sequence_block(counts, peaks, own_statistics=own_statistics)
            parts.append(sequence * np.float32(np.sqrt(self.mix / sequence.shape[1])))
        if self.representation != "sequence" and self.mix < 1:
            reindexed = self.reindexed_block(counts, peaks)
            parts.append(reindexed * np.float32(np.sqrt((1 - self.mix) / reindexed.shape[1])))
        return np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)

    def sequence_block(
        self, counts: sp.csr_matrix, peaks: PeakTable, *, own_statistics: bool = False
    ) -> NDArray[np.float32]:
        """Standardised sequence part, float32, shape (n_cells, n_sequence)."""
        raw, used = self._sequence_means(counts, peaks)
        mean, scale = self.sequence_mean, self.sequence_scale
        if own_statistics:
            mean, scale = _moments(raw[used] if used.any() else raw)
        block = (raw - mean) / scale
        block[~used] = 0
        return np.asarray(block, np.float32)

    def reindexed_block(self, counts: sp.csr_matrix, peaks: PeakTable) -> NDArray[np.float32]:
        """Standardised re-indexed part, float32, shape (n_cells, n_reindexed)."""
        tfidf = self.tfidf(counts, peaks)
        raw = unit_rows(tfidf) @ self.axes
        block = (raw - self.reindexed_mean) / self.reindexed_scale
        block[np.diff(tfidf.indptr) == 0] = 0
        return np.asarray(block, np.float32)

    def tfidf(self, counts: sp.csr_matrix, peaks: PeakTable) -> sp.csr_matrix:
        """Binarised TF-IDF on registry rows, csr_matrix of float32, shape (n_cells, n_rows)."""
        return tf_idf(carry(counts, peaks.rows, self.rows), self.idf / self.tfidf_scale)

    def shared(self, counts: sp.csr_matrix, peaks: PeakTable) -> float:
        """Share of the counts that lie in peaks carried to rows of the reference."""
        known = np.isin(peaks.rows, self.rows)
        total = float(counts.sum())
        return float(counts[:, np.flatnonzero(known)].sum()) / total if total else 0.0

    def covered(self, peaks: PeakTable) -> float:
        """Share of the reference's open rows, by how often they are open, that peaks reach."""
        if len(self.rows) == 0:
            return 1.0
        often = 1 / np.expm1(self.idf.astype(np.float64))
        return float(often[np.isin(self.rows, peaks.rows)].sum() / often.sum())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that make up the encoder, by name."""
        return {name: getattr(self, name) for name in ARRAYS}

    def settings(self) -> dict[str, Any]:
        """The rest of it, as JSON types."""
        return {name: getattr(self, name) for name in ("representation", "mix", "tfidf_scale")}

    @classmethod
    def restore(
        cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]
    ) -> CellEncoder:
        """Inverse of `arrays` and `settings`.

        Raises
        ------
        BundleError
            If an array is missing.
        """
        missing = [name for name in ARRAYS if name not in arrays]
        if missing:
            names = ", ".join(missing)
            raise BundleError(f"the cell encoder lacks {names}. Train the bundle again.")
        kept: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
        return cls(**{**kept, **settings})

    def with_mix(self, mix: float) -> CellEncoder:
        """The same encoder with another share of the sequence block."""
        return self._replace(mix=mix)

    def only(self, representation: Representation) -> CellEncoder:
        """The same encoder reduced to one block."""
        return self._replace(representation=representation, mix=float(representation == "sequence"))

    def _with_reindexed(
        self, counts: sp.csr_matrix, peaks: PeakTable, n_axes: int, seed: int
    ) -> CellEncoder:
        tfidf = self.tfidf(counts, peaks)
        scale = float(np.sqrt(tfidf.multiply(tfidf).sum() / max(1, tfidf.shape[0]))) or 1.0
        unit = unit_rows(tfidf)
        k = min(n_axes, min(unit.shape) - 1)
        if self.representation == "sequence" or k < 1:
            return self._replace(tfidf_scale=scale)
        svd = TruncatedSVD(k, random_state=seed).fit(unit)
        axes = np.ascontiguousarray(svd.components_.T, np.float32)
        mean, spread = _moments(np.asarray(unit @ axes, np.float32))
        return self._replace(
            tfidf_scale=scale, axes=axes, reindexed_mean=mean, reindexed_scale=spread
        )

    def _with_sequence(self, counts: sp.csr_matrix, peaks: PeakTable) -> CellEncoder:
        raw, used = self._sequence_means(counts, peaks)
        mean, scale = _moments(raw[used] if used.any() else raw)
        return self._replace(sequence_mean=mean, sequence_scale=scale)

    def _sequence_means(
        self, counts: sp.csr_matrix, peaks: PeakTable
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        keep = np.flatnonzero(peaks.embedded)
        if len(keep) == 0:
            empty = np.zeros((counts.shape[0], self.peak_axes.shape[1]), np.float32)
            return empty, np.zeros(counts.shape[0], np.bool_)
        part = sp.csr_matrix(counts[:, keep])
        whitened = (peaks.values[keep] - self.peak_mean) @ self.peak_axes
        weights = unit_sums(binary(part) @ sp.diags_array(self._peak_idf(part, peaks.rows[keep])))
        return np.asarray(weights @ whitened, np.float32), np.diff(part.indptr) > 0

    def _peak_idf(self, counts: sp.csr_matrix, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The reference's where a peak is known to it, else that of these cells."""
        if len(self.rows) == 0:
            return inverse_document_frequency(counts)
        place = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        known = self.rows[place] == rows
        return np.where(known, self.idf[place], inverse_document_frequency(counts)).astype(
            np.float32
        )

    def _replace(self, **changes: object) -> CellEncoder:
        settings: dict[str, Any] = {**self.arrays(), **self.settings(), **changes}
        return CellEncoder(**settings)


ARRAYS = (
    "rows",
    "idf",
    "axes",
    "reindexed_mean",
    "reindexed_scale",
    "peak_mean",
    "peak_axes",
    "sequence_mean",
    "sequence_scale",
)


def _representation(wanted: str, peaks: PeakTable) -> Representation:
    if wanted not in REPRESENTATIONS:
        names = ", ".join(REPRESENTATIONS)
        raise ValueError(f"representation {wanted!r} is not known; choose one of {names}")
    enough = int(peaks.embedded.sum()) >= 2
    if wanted == "sequence" and not enough:
        raise ValueError(
            f"representation 'sequence' needs embedded peaks, and {int(peaks.embedded.sum())} of "
            f"{len(peaks)} have an embedding. Give --genome, or an atlas that holds these peaks."
        )
    if wanted == "hybrid" and not enough:
        return "reindexed"
    return "hybrid" if wanted == "hybrid" else "sequence" if wanted == "sequence" else "reindexed"


def _whitening(peaks: PeakTable, n_axes: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    values = peaks.values[peaks.embedded].astype(np.float64)
    dim = peaks.values.shape[1]
    if len(values) < 2:
        return np.zeros(dim, np.float32), np.zeros((dim, 0), np.float32)
    mean = values.mean(axis=0)
    spread, axes = np.linalg.eigh(np.cov(values.T).reshape(dim, dim))
    order = np.argsort(spread)[::-1][: min(n_axes, len(values) - 1)]
    order = order[spread[order] > max(spread.max(), _EPS) * 1e-8]
    whiten = axes[:, order] / np.sqrt(spread[order])
    signs = np.sign(whiten[np.abs(whiten).argmax(axis=0), np.arange(whiten.shape[1])])
    return mean.astype(np.float32), np.ascontiguousarray(whiten * signs, np.float32)


def _moments(block: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    scale = block.std(axis=0, dtype=np.float64) + _EPS
    return block.mean(axis=0, dtype=np.float64).astype(np.float32), scale.astype(np.float32)
