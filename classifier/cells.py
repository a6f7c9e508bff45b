"""Stage 1: cells as vectors, inductively; a new cell needs nothing to be fitted again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD

from peakatlas.classifier.counts.peak_table import PeakTable
from peakatlas.classifier.counts.sparse import (
    binary,
    carry,
    inverse_document_frequency,
    tf_idf,
    unit_rows,
    unit_sums,
)
from peakatlas.engine.errors import BundleError

from .profiles import FOLDS, TypeProfiles
from .representations import checked_representation, usual_mix
from .trunk import Trunk
from .whitening import moments, used_moments, whitening

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from peakatlas.classifier.counts.measured_peaks import Measured

    from .representations import DnaBlock, Representation

    Moments = tuple[NDArray[np.float32], NDArray[np.float32]]

MIN_PEAKS = 20


def _blank() -> NDArray[np.float32]:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class CellEncoder:
    """Frozen maps from counts to cell embeddings.

    *sequence*: a cell is the mean of the centred and whitened embeddings of its open peaks,
    weighted by inverse document frequency. *profile*: the same mean of what the DNA of the peaks
    says each type opens (`TypeProfiles`), for peaks that the reference lacks. *trunk*: the weights
    of a cell over the features of a network on the embeddings (`Trunk`). *reindexed*: counts are
    carried to registry rows, then TF-IDF and truncated SVD. *hybrid*: sequence and re-indexed side
    by side; its ``profile`` serves queries with other peaks. Every block is standardised.
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
    profiles: TypeProfiles | None = None
    profile_mean: NDArray[np.float32] = field(default_factory=_blank)
    profile_scale: NDArray[np.float32] = field(default_factory=_blank)
    trunk: Trunk | None = None
    trunk_mean: NDArray[np.float32] = field(default_factory=_blank)
    trunk_scale: NDArray[np.float32] = field(default_factory=_blank)

    @classmethod
    def fit(  # noqa: PLR0913 - options are keyword-only
        cls,
        counts: sp.csr_matrix,
        peaks: PeakTable,
        types: NDArray[np.int64] | None = None,
        *,
        representation: Representation = "hybrid",
        n_sequence: int = 64,
        n_reindexed: int = 50,
        seed: int = 0,
        measured: Measured | None = None,
    ) -> CellEncoder:
        """Fit on reference cells.

        Parameters
        ----------
        counts : csr_matrix of float32, shape (n_cells, n_peaks)
        peaks : PeakTable, length n_peaks
        types : int64, shape (n_cells,), optional
            Type codes; without them there are no profiles.
        representation : {"hybrid", "sequence", "profile", "trunk", "reindexed"}
            ``hybrid`` becomes ``reindexed`` where no peak has an embedding.
        n_sequence, n_reindexed : int
            Dimensions of the two blocks, at most.
        seed : int
        measured : Measured, optional
            Which peaks each cell's experiment could show; all if not given.

        Raises
        ------
        ValueError
            If too few peaks have an embedding for the representation asked for (2 for
            ``sequence``, 20 for ``profile`` and ``trunk``), it is ``profile`` and there are no
            types, or it is not known.
        """
        chosen = checked_representation(representation, peaks)
        rows = np.unique(peaks.rows[peaks.rows >= 0])
        could = None if measured is None else measured.cells_by_row(peaks.rows, rows)
        idf = inverse_document_frequency(carry(counts, peaks.rows, rows), could)
        peak_mean, peak_axes = whitening(peaks.values[peaks.embedded], n_sequence)
        draft = cls(
            representation=chosen,
            mix=usual_mix(chosen),
            rows=rows,
            idf=idf,
            tfidf_scale=1.0,
            axes=np.zeros((len(rows), 0), np.float32),
            reindexed_mean=_blank(),
            reindexed_scale=_blank(),
            peak_mean=peak_mean,
            peak_axes=peak_axes,
            sequence_mean=_blank(),
            sequence_scale=_blank(),
        )
        pooled = draft._with_reindexed(counts, peaks, n_reindexed, seed)._with_sequence(
            counts, peaks
        )
        if chosen == "trunk":
            return pooled._with_trunk(counts, peaks, seed)
        if chosen == "profile" or (chosen == "hybrid" and types is not None):
            return pooled._with_profiles(counts, peaks, types, measured)
        return pooled

    def transform(
        self, counts: sp.csr_matrix, peaks: PeakTable, *, own_statistics: bool | Moments = False
    ) -> NDArray[np.float32]:
        """Embed cells.

        Parameters
        ----------
        counts : csr_matrix of float32, shape (n_cells, n_peaks)
        peaks : PeakTable, length n_peaks
            May be other peaks than those of the reference.
        own_statistics : bool, or mean and scale
            Centre and scale the block that reads DNA by these cells, or by the moments given
            (`own_moments`), instead of the reference's: for peak sets that differ so much that
            their means do.

        Returns
        -------
        float32, shape (n_cells, dim)
            A cell without usable peaks is 0 in the block concerned.
        """
        if self.representation in ("profile", "trunk"):
            block = self._dna_block(self.representation, counts, peaks, own_statistics)
            return np.ascontiguousarray(block / np.float32(np.sqrt(block.shape[1])))
        parts = []
        if self.representation != "reindexed" and self.mix > 0:
            sequence = self.sequence_block(counts, peaks, own_statistics=own_statistics)
            parts.append(sequence * np.float32(np.sqrt(self.mix / sequence.shape[1])))
        if self.representation != "sequence" and self.mix < 1:
            reindexed = self.reindexed_block(counts, peaks)
            parts.append(reindexed * np.float32(np.sqrt((1 - self.mix) / reindexed.shape[1])))
        return np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)

    def sequence_block(
        self, counts: sp.csr_matrix, peaks: PeakTable, *, own_statistics: bool | Moments = False
    ) -> NDArray[np.float32]:
        """Standardised sequence part, float32, shape (n_cells, n_sequence)."""
        return self._dna_block("sequence", counts, peaks, own_statistics)

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

    def prepared(self, peaks: PeakTable) -> PeakTable:
        """The peaks with what this encoder averages over them, for many blocks of cells."""
        name = self._dna_name()
        if name == "trunk" or self.mix == 0:
            return peaks
        return replace(peaks, said=self._of_peaks(name, peaks.take(np.flatnonzero(peaks.embedded))))

    def own_moments(self, counts: sp.csr_matrix, peaks: PeakTable) -> Moments:
        """Mean and scale of the block that reads DNA over these cells; see `transform`."""
        return used_moments(*self._dna_means(self._dna_name(), counts, peaks))

    def shared(self, totals: NDArray[np.float64], peaks: PeakTable) -> float:
        """Share of the counts that lie in peaks carried to rows of the reference.

        Parameters
        ----------
        totals : float64, shape (n_peaks,)
            Counts of each peak over all cells.
        peaks : PeakTable, length n_peaks
        """
        total = float(totals.sum())
        return float(totals[np.isin(peaks.rows, self.rows)].sum()) / total if total else 0.0

    def covered(self, peaks: PeakTable) -> float:
        """Share of the reference's open rows, by how often they are open, that peaks reach."""
        if len(self.rows) == 0:
            return 1.0
        often = 1 / np.expm1(self.idf.astype(np.float64))
        return float(often[np.isin(self.rows, peaks.rows)].sum() / often.sum())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that make up the encoder, by name."""
        found = {name: getattr(self, name) for name in (*ARRAYS, *LATER_ARRAYS)}
        if self.profiles is not None:
            found["profiles.mean"], found["profiles.maps"] = self.profiles.mean, self.profiles.maps
        if self.trunk is not None:
            found.update({f"trunk.{name}": value for name, value in self.trunk.arrays().items()})
        return found

    def settings(self) -> dict[str, Any]:
        """The rest of it, as JSON types."""
        plain = {name: getattr(self, name) for name in ("representation", "mix", "tfidf_scale")}
        return plain if self.trunk is None else {**plain, "trunk_ridge": self.trunk.ridge}

    @classmethod
    def restore(
        cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]
    ) -> CellEncoder:
        """Inverse of `arrays` and `settings`; what was saved before there were profiles has none.

        Raises
        ------
        BundleError
            If an array is missing.
        """
        missing = [name for name in ARRAYS if name not in arrays]
        if missing:
            names = ", ".join(missing)
            raise BundleError(f"the cell encoder lacks {names}. Train the bundle again.")
        kept: dict[str, Any] = {n: arrays[n] for n in (*ARRAYS, *LATER_ARRAYS) if n in arrays}
        plain = dict(settings)
        ridge = plain.pop("trunk_ridge", None)
        if "profiles.maps" in arrays:
            kept["profiles"] = TypeProfiles(arrays["profiles.mean"], arrays["profiles.maps"])
        if ridge is not None:
            layers = {k.removeprefix("trunk."): v for k, v in arrays.items()}
            kept["trunk"] = Trunk.restore(layers, ridge)
        return cls(**kept, **plain)

    def with_mix(self, mix: float) -> CellEncoder:
        """The same encoder with another share of the sequence block."""
        return replace(self, mix=mix)

    def only(self, representation: Representation) -> CellEncoder:
        """The same encoder reduced to one block."""
        return replace(self, representation=representation, mix=usual_mix(representation))

    def _with_reindexed(
        self, counts: sp.csr_matrix, peaks: PeakTable, n_axes: int, seed: int
    ) -> CellEncoder:
        tfidf = self.tfidf(counts, peaks)
        scale = float(np.sqrt(tfidf.multiply(tfidf).sum() / max(1, tfidf.shape[0]))) or 1.0
        unit = unit_rows(tfidf)
        k = min(n_axes, min(unit.shape) - 1)
        if self.representation not in ("hybrid", "reindexed") or k < 1:
            return replace(self, tfidf_scale=scale)
        svd = TruncatedSVD(k, random_state=seed).fit(unit)
        axes = np.ascontiguousarray(svd.components_.T, np.float32)
        mean, spread = moments(np.asarray(unit @ axes, np.float32))
        return replace(
            self, tfidf_scale=scale, axes=axes, reindexed_mean=mean, reindexed_scale=spread
        )

    def _with_sequence(self, counts: sp.csr_matrix, peaks: PeakTable) -> CellEncoder:
        mean, scale = used_moments(*self._dna_means("sequence", counts, peaks))
        return replace(self, sequence_mean=mean, sequence_scale=scale)

    def _with_profiles(
        self,
        counts: sp.csr_matrix,
        peaks: PeakTable,
        types: NDArray[np.int64] | None,
        measured: Measured | None,
    ) -> CellEncoder:
        keep = np.flatnonzero(peaks.embedded)
        if types is None or len(keep) < MIN_PEAKS:
            if self.representation == "hybrid":
                return self
            raise ValueError(
                f"representation 'profile' needs cell types and {MIN_PEAKS} embedded peaks, "
                f"and there are {len(keep)}"
            )
        fold = self._fold(peaks.rows[keep])
        part = sp.csr_matrix(counts[:, keep])
        could = None
        if measured is not None:
            could = measured.cells_by_peak(types, int(types.max()) + 1)[:, keep]
        profiles = TypeProfiles.fit(part, peaks.values[keep], fold, types, could)
        fitted = replace(self, profiles=profiles)
        mean, scale = used_moments(*fitted._dna_means("profile", counts, peaks))
        return replace(fitted, profile_mean=mean, profile_scale=scale)

    def _with_trunk(self, counts: sp.csr_matrix, peaks: PeakTable, seed: int) -> CellEncoder:
        fitted = replace(self, trunk=Trunk.fit(counts, peaks.values, seed=seed))
        mean, scale = used_moments(*fitted._dna_means("trunk", counts, peaks))
        return replace(fitted, trunk_mean=mean, trunk_scale=scale)

    def _dna_name(self) -> DnaBlock:
        """Which block reads DNA."""
        if self.representation in ("profile", "trunk"):
            return self.representation
        return "sequence"

    def _dna_block(
        self, name: DnaBlock, counts: sp.csr_matrix, peaks: PeakTable, own: bool | Moments
    ) -> NDArray[np.float32]:
        raw, used = self._dna_means(name, counts, peaks)
        mean, scale = getattr(self, f"{name}_mean"), getattr(self, f"{name}_scale")
        if own is not False:
            mean, scale = used_moments(raw, used) if own is True else own
        block = (raw - mean) / scale
        block[~used] = 0
        return np.asarray(block, np.float32)

    def _dna_means(
        self, name: DnaBlock, counts: sp.csr_matrix, peaks: PeakTable
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """A block before it is standardised, and which cells have peaks for it."""
        keep = np.flatnonzero(peaks.embedded)
        part = counts if len(keep) == len(peaks) else sp.csr_matrix(counts[:, keep])
        used = np.diff(part.indptr) > 0
        if name == "trunk" and self.trunk is not None:
            return self.trunk.cells(part, peaks.values[keep]), used
        said = self._of_peaks(name, peaks.take(keep)) if peaks.said is None else peaks.said
        rarity = inverse_document_frequency(part) if peaks.idf is None else peaks.idf[keep]
        idf = self._peak_idf(peaks.rows[keep], rarity)
        weights = unit_sums(binary(part) @ sp.diags_array(idf))
        return np.asarray(weights @ said, np.float32), used

    def _of_peaks(self, name: DnaBlock, peaks: PeakTable) -> NDArray[np.float32]:
        """What is averaged over a cell's peaks, float32, shape (n_peaks, n)."""
        if name == "profile" and self.profiles is not None:
            return self.profiles.predict(peaks.values, self._fold(peaks.rows))
        if len(peaks) == 0:
            return np.zeros((0, self.peak_axes.shape[1]), np.float32)
        return np.asarray((peaks.values - self.peak_mean) @ self.peak_axes, np.float32)

    def _fold(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which profile map does not know a peak; -1 for peaks that the reference lacks."""
        if len(self.rows) == 0:
            return np.full(len(rows), -1)
        place = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[place] == rows, place % FOLDS, -1)

    def _peak_idf(
        self, rows: NDArray[np.int64], rarity: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The reference's where a peak is known to it, else that of these cells, `rarity`."""
        if len(self.rows) == 0:
            return rarity
        place = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        known = self.rows[place] == rows
        return np.where(known, self.idf[place], rarity).astype(np.float32)


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
LATER_ARRAYS = ("profile_mean", "profile_scale", "trunk_mean", "trunk_scale")
