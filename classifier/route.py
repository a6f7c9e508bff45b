"""One fitted way from counts to types: encoder, network, linear head, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax

from .count_rows import MOST_CELLS
from .novelty import neighbours_of, smooth
from .sparse import tf_idf, thin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .cells import CellEncoder, Moments
    from .level_rules import LevelRules
    from .linear import Features, LinearHead
    from .network import AlignmentNetwork
    from .novelty import ReferenceShape, Surprise
    from .peak_table import PeakTable

RouteName = Literal["shared", "sequence"]
NEARLY_ALL = 0.95
FEW_CELLS = 20


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
    temperature: float
    """Divides the fused log-probabilities."""
    min_confidence: float
    """Below it a cell stays "Unassigned"."""
    max_novelty: dict[str, float]
    """Above it a cell stays "Unassigned"; by the number of neighbours that share a novelty."""
    usual_novelty: dict[str, float]
    """Lower quartile of the novelty of held-out reference cells; keys as above."""
    vague: Surprise
    """Rarity of a low confidence."""
    strange: Surprise
    """Rarity of a long distance."""


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
    shape: ReferenceShape
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
        return fuse(network_logs, linear, calibration.linear_weight, calibration.temperature)

    def novelty(
        self,
        embedding: NDArray[np.float32],
        depth: NDArray[np.float32],
        logs: NDArray[np.float32],
        calibration: Calibration,
        drawn: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """How strange cells are, given their depth, float32, shape (n_cells,).

        What the whole query is stranger by is taken off, for a batch effect is not a new type; the
        lower quartile stands for the whole, so a new type may make up most of it. Where peaks are
        lacking, cells are also moved back by the median of how far they lie from the mean of their
        likeliest type: other peaks move all cells alike.

        Parameters
        ----------
        embedding, depth : float32, shapes (n_cells, dim) and (n_cells,)
            Of `Cells`.
        logs : float32, shape (n_cells, n_types)
            Of `log_probabilities`.
        calibration : Calibration
        drawn : int64, shape (n,)
            Ascending rows of cells that stand for all: the shift and neighbours are sought there.
        """
        shift = np.float32(0)
        if calibration is self.partial:
            nearest = self.shape.means[logs[drawn].argmax(axis=1)]
            shift = np.median(embedding[drawn] - nearest, axis=0).astype(np.float32)
        distance = np.concatenate(
            [
                self.shape.distance(embedding[start : start + MOST_CELLS] - shift)
                for start in range(0, len(embedding), MOST_CELLS)
            ]
        )
        rarity = rarity_of(depth, logs, distance, calibration.vague, calibration.strange)
        neighbours = neighbours_of(len(rarity))
        novelty = smooth(rarity, embedding, neighbours, drawn)
        if len(novelty) < FEW_CELLS:
            return novelty
        excess = float(np.quantile(novelty, 0.25)) - calibration.usual_novelty[str(neighbours)]
        return novelty - np.float32(max(0.0, excess))


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
    temperature: float = 1.0,
) -> NDArray[np.float32]:
    """Weighted mean of two log-probabilities over a temperature, normalised again.

    Parameters
    ----------
    network, linear : float32, shape (n_cells, n_types)
    linear_weight : float
        In [0, 1].
    temperature : float
        Above 0.

    References
    ----------
    Guo et al. (2017), On Calibration of Modern Neural Networks, section 4.2.
    """
    mixed = linear_weight * linear + (1 - linear_weight) * network
    return np.asarray(log_softmax(mixed / temperature, axis=1), np.float32)


def rarity_of(
    depth: NDArray[np.float32],
    logs: NDArray[np.float32],
    distance: NDArray[np.float32],
    vague: Surprise,
    strange: Surprise,
) -> NDArray[np.float32]:
    """Sum of two rarities: of so low a confidence, of so long a distance.

    Parameters
    ----------
    depth : float32, shape (n_cells,)
        In counts.
    logs : float32, shape (n_cells, n_types)
        Calibrated log-probabilities.
    distance : float32, shape (n_cells,)
    vague, strange : Surprise
    """
    return vague(-logs.max(axis=1), depth) + strange(distance, depth)


def _depth(counts: sp.csr_matrix, usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.asarray(counts @ usable.astype(np.float32), np.float32)
