"""One fitted way from counts to types: encoder, network, linear head, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax

from peakatlas.classifier.counts.sparse import tf_idf, thin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.counts.peak_table import PeakTable

    from .cells import CellEncoder, Moments
    from .conformal import Conformal
    from .groups import TypeShares
    from .level_rules import LevelRules
    from .linear import Features, LinearHead
    from .network import AlignmentNetwork
    from .novelty import Usual
    from .temperature import Temperature
    from .type_shapes import TypeShapes

RouteName = Literal["shared", "sequence"]
NEARLY_ALL = 0.95


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells as one route sees them.

    Parameters
    ----------
    embedding : float32, shape (n_cells, dim)
        Input of the network.
    features : csr_matrix or float32, shape (n_cells, n_features)
        Input of the linear head.
    depth : float32, shape (n_cells,)
        Counts in peaks that the route can use.
    """

    embedding: NDArray[np.float32]
    features: sp.csr_matrix | NDArray[np.float32]
    depth: NDArray[np.float32]

    def take(self, cells: NDArray[np.int64]) -> Cells:
        """Some of the cells."""
        return Cells(self.embedding[cells], self.features[cells], self.depth[cells])


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """What held-out reference cells taught about trust."""

    linear_weight: float
    """Share of the linear head in the fused log-probabilities, in [0, 1]."""
    temperature: Temperature
    """Divides the fused log-probabilities."""
    min_confidence: float
    """Below it a cell stays "Unassigned"."""
    usual_novelty: dict[str, tuple[float, float, float, float]]
    """5th, 25th and 50th percentile of the score of held-out cells, and the limit above which a
    cell is novel; by the number of neighbours that share it."""
    shapes: TypeShapes
    """Where the types lie among each other."""
    far: Usual
    """How usual a distance from the types is."""
    better: Usual
    """How usual it is that a cell's own group tells it better than a type."""
    sets: Conformal
    """Which types a cell may be of, at an error rate."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Route:
    """A fitted route.

    ``shared`` is for queries whose peaks the reference knows, ``sequence`` for queries that share
    too few of them: it reads nothing but the DNA in the peaks.
    """

    name: RouteName
    encoder: CellEncoder
    network: AlignmentNetwork
    linear: LinearHead
    judge: LinearHead
    """Mean of the heads of the folds, by which novelty is judged: it is as sure of new cells as
    they were of held-out ones, and a head of all cells is surer."""
    shares: TypeShares | None
    """Where the counts of each type fall; None for the sequence route."""
    complete: Calibration
    """For queries that have nearly all peaks of the reference."""
    partial: Calibration
    """For queries that lack some: from held-out cells that were denied a third of the peaks."""
    rules: LevelRules
    """When a cell gets a label at each level."""
    sample: NDArray[np.float16]
    """Embeddings of some reference cells, for alignment, shape (n_sample, dim)."""
    sample_types: NDArray[np.int64]
    """Type codes of these cells, shape (n_sample,)."""
    sample_open: sp.csr_matrix | None
    """1 where these cells are open, shape (n_sample, n_rows); None for the sequence route."""
    validation: dict[str, Any]
    """Scores on held-out reference cells."""

    def see(
        self, counts: sp.csr_matrix, peaks: PeakTable, *, own_statistics: bool | Moments = False
    ) -> Cells:
        """Embed cells for this route.

        Parameters
        ----------
        counts : csr_matrix of float32, shape (n_cells, n_peaks)
        peaks : PeakTable, length n_peaks
        own_statistics : bool, or mean and scale
            See `CellEncoder.transform`.
        """
        return see_cells(self.name, self.encoder, counts, peaks, own_statistics=own_statistics)

    def sample_features(self, query: Cells, *, seed: int = 0) -> list[Features]:
        """What the linear head sees of the sample: as it is, and as shallow as the query.

        The sequence route has no counts to thin, so it gives the first alone.

        Parameters
        ----------
        query : Cells
        seed : int
            Of the thinning.
        """
        if self.sample_open is None:
            return [self.sample.astype(np.float32)]
        keep = kept_shares(
            np.diff(self.sample_open.indptr), np.diff(sp.csr_matrix(query.features).indptr)
        )
        shallow = thin(self.sample_open, keep, np.random.default_rng(seed))
        weights = self.encoder.idf / np.float32(self.encoder.tfidf_scale)
        return [tf_idf(part, weights) for part in (self.sample_open, shallow)]

    def calibration(self, peaks: PeakTable) -> Calibration:
        """The calibration for a query with these peaks."""
        return self.complete if self.encoder.covered(peaks) >= NEARLY_ALL else self.partial

    def log_probabilities(
        self, cells: Cells, network_logs: NDArray[np.float32], calibration: Calibration
    ) -> NDArray[np.float32]:
        """Fused and calibrated log-probabilities, float32, shape (n_cells, n_types)."""
        linear = self.linear.log_probabilities(cells.features)
        by = calibration.temperature.of(cells.depth)
        return fuse(network_logs, linear, calibration.linear_weight, by)


def kept_shares(reference: NDArray[np.int64], query: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of its open peaks that a reference cell keeps to be as deep as the query's are.

    The deepest tenth of the reference comes to the depth of the deepest tenth of the query, and so
    on; a cell that is shallower already keeps all.

    Parameters
    ----------
    reference, query : int64, shapes (n,) and (m,)
        Open peaks of each cell.

    Examples
    --------
    >>> kept_shares(np.array([100, 200, 300]), np.array([50, 100, 150])).tolist()
    [0.5, 0.5, 0.5]
    """
    rank = np.argsort(np.argsort(reference, kind="stable"), kind="stable")
    want = np.quantile(query, rank / max(len(reference) - 1, 1))
    return np.asarray(np.minimum(1, want / np.maximum(reference, 1)), np.float64)


def route_encoder(encoder: CellEncoder, name: RouteName) -> CellEncoder:
    """The encoder as a route uses it: the sequence route sees what the DNA of peaks says alone."""
    if name == "shared" or encoder.representation != "hybrid":
        return encoder
    return encoder.only("sequence" if encoder.profiles is None else "profile")


def see_cells(
    name: RouteName,
    encoder: CellEncoder,
    counts: sp.csr_matrix,
    peaks: PeakTable,
    *,
    own_statistics: bool | Moments = False,
) -> Cells:
    """Embed cells for a route of this name; see `Route.see`."""
    embedding = encoder.transform(counts, peaks, own_statistics=own_statistics)
    if name == "sequence":
        return Cells(embedding, embedding, _depth(counts, peaks.embedded))
    usable = np.isin(peaks.rows, encoder.rows)
    return Cells(embedding, encoder.tfidf(counts, peaks), _depth(counts, usable))


@dataclass(frozen=True, eq=False)
class Look:
    """Reference cells as an experiment of some depth and peak set would have shown them.

    Parameters
    ----------
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
    peaks : PeakTable, length n_peaks
    own_statistics : bool
        See `CellEncoder.transform`.
    """

    counts: sp.csr_matrix
    peaks: PeakTable
    own_statistics: bool = False

    def see(self, name: RouteName, encoder: CellEncoder) -> Cells:
        """Embed the cells for a route of this name."""
        return see_cells(name, encoder, self.counts, self.peaks, own_statistics=self.own_statistics)


def fuse(
    network: NDArray[np.float32],
    linear: NDArray[np.float32],
    linear_weight: float,
    temperature: float | NDArray[np.float32] = 1.0,
) -> NDArray[np.float32]:
    """Weighted mean of two log-probabilities over a temperature, normalised again.

    Parameters
    ----------
    network, linear : float32, shape (n_cells, n_types)
    linear_weight : float
        In [0, 1].
    temperature : float, or float32, shape (n_cells,)
        Above 0.

    References
    ----------
    Guo et al. (2017), On Calibration of Modern Neural Networks, section 4.2.
    """
    mixed = linear_weight * linear + (1 - linear_weight) * network
    by = np.asarray(temperature, np.float32).reshape(-1, 1)
    return np.asarray(log_softmax(mixed / by, axis=1), np.float32)


def _depth(counts: sp.csr_matrix, usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.asarray(counts @ usable.astype(np.float32), np.float32)
