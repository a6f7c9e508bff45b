"""From a labelled reference to a bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.metrics import f1_score

from .bundle import Bundle
from .cells import CellEncoder, PeakTable, Representation
from .counts import labels_of, read_counts
from .linear import fit_linear
from .network import NetworkOptions, fit_network
from .novelty import ReferenceShape
from .registry import Sources, build_registry, registry_rows, resolve
from .route import Cells, Look, Route, RouteName, fuse, route_encoder, see_cells
from .selection import (
    FoldOptions,
    HeldOut,
    calibrate,
    choose_fusion,
    choose_mix,
    hold_out,
    sample_rows,
)
from .sparse import binary, thin
from .versions import versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad
    from numpy.typing import NDArray

    from peakatlas.atlas.reader import Atlas

SAMPLE_CELLS = 4000
SAMPLE_OPEN = 20_000_000
MIN_PEAKS_TO_HALVE = 20


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a classifier is trained."""

    representation: Representation = "hybrid"
    """Cell embedding: ``hybrid``, ``sequence``, ``profile``, ``trunk`` or ``reindexed``."""
    n_sequence: int = 64
    """Dimensions of the sequence block, at most."""
    n_reindexed: int = 50
    """Dimensions of the re-indexed block, at most."""
    strengths: tuple[float, ...] = (1.0, 4.0)
    """Inverse ridge penalties of the linear head to choose from."""
    shallowest: float = 0.2
    """Cells are also shown with reads thinned to between this share and all of them."""
    error_rate: float = 0.01
    """Share of rightly labelled held-out reference cells that each rejection rule gives up."""
    network: NetworkOptions = field(default_factory=NetworkOptions)
    """Shape and fit of the network."""

    def __post_init__(self) -> None:
        if not 0 < self.shallowest <= 1:
            raise ValueError(f"shallowest must lie in (0, 1], not {self.shallowest}")
        if not 0 <= self.error_rate < 1:
            raise ValueError(f"error_rate must lie in [0, 1), not {self.error_rate}")
        if not self.strengths or min(self.strengths) <= 0:
            raise ValueError(f"strengths must be above 0, not {self.strengths}")


def train(
    reference: str | Path | ad.AnnData,
    labels_key: str,
    atlas: Atlas | None = None,
    *,
    sources: Sources | None = None,
    options: TrainOptions | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Bundle:
    """Train a classifier on labelled reference cells.

    Everything is fitted and chosen on the reference. The same input and seed give the same
    bundle, bit for bit, on the same machine.

    Parameters
    ----------
    reference : path of an h5ad file, or AnnData
        Counts, cells × peaks. Not modified.
    labels_key : str
        Column of `obs` with the cell types.
    atlas : Atlas, optional
        Without it there is no sequence, and peaks are matched by coordinates only.
    sources : Sources, optional
        Genome and model for peaks that miss the atlas.
    options : TrainOptions, optional
    seed : int
    progress : callable, optional
        Called with a few words as each step begins.

    Raises
    ------
    CountsError, IntervalError
        If the reference cannot be used.
    LabelsError
        If labels are absent or too few.
    ValueError
        If ``representation="sequence"`` is asked for and no peak has an embedding.
    """
    options, say = options or TrainOptions(), progress or (lambda _: None)
    say("reading the reference")
    counts = read_counts(reference)
    names, codes = np.unique(labels_of(counts, labels_key), return_inverse=True)
    say("looking up its peaks")
    sources = sources or Sources()
    named = sources.named(counts.peaks, atlas)
    found = resolve(named, atlas, sources)
    say(f"peaks: {found.describe(named)}")
    registry = build_registry(named, found, atlas)
    peaks = PeakTable(found.values, registry_rows(named, registry))
    say("embedding its cells")
    codes = codes.astype(np.int64)
    fitted = _Reference(counts=counts.matrix, peaks=peaks, types=codes, options=options, seed=seed)
    encoder = _mixed_encoder(fitted)
    routes: dict[RouteName, Route] = {}
    for name in _route_names(encoder):
        say(f"fitting the {name} route")
        routes[name] = _fit_route(name, encoder, fitted)
    return Bundle(
        types=tuple(str(name) for name in names),
        registry=registry,
        spec=None if atlas is None else atlas.spec,
        encoder=encoder,
        routes=routes,
        provenance={
            "peakatlas": versions(),
            "reference": counts.source,
            "labels_key": labels_key,
            "cells": counts.n_cells,
            "peaks": counts.n_peaks,
            "cells_by_type": dict(zip(map(str, names), np.bincount(codes).tolist(), strict=True)),
            "median_depth": float(np.median(counts.depth)),
            "tiers": found.tiers(),
            "options": asdict(options),
            "seed": seed,
        },
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Reference:
    """What everything is fitted on."""

    counts: sp.csr_matrix
    peaks: PeakTable
    types: NDArray[np.int64]
    options: TrainOptions
    seed: int

    def fit_encoder(self, cells: NDArray[np.int64] | None = None) -> CellEncoder:
        """Encoder fitted on some of the cells, or on all."""
        return CellEncoder.fit(
            self.counts if cells is None else self.counts[cells],
            self.peaks,
            self.types if cells is None else self.types[cells],
            representation=self.options.representation,
            n_sequence=self.options.n_sequence,
            n_reindexed=self.options.n_reindexed,
            seed=self.seed,
        )


def _mixed_encoder(reference: _Reference) -> CellEncoder:
    return choose_mix(
        reference.fit_encoder(),
        reference.counts,
        reference.peaks,
        reference.types,
        reference.fit_encoder,
        seed=reference.seed,
    )


def _route_names(encoder: CellEncoder) -> tuple[RouteName, ...]:
    routes: dict[str, tuple[RouteName, ...]] = {
        "hybrid": ("shared", "sequence"),
        "reindexed": ("shared",),
        "sequence": ("sequence",),
        "profile": ("sequence",),
        "trunk": ("sequence",),
    }
    return routes[encoder.representation]


def _fit_route(name: RouteName, mixed: CellEncoder, reference: _Reference) -> Route:
    options, types, seed = reference.options, reference.types, reference.seed
    encoder = route_encoder(mixed, name)
    shown, judged = _looks(name, reference)

    def refit(cells: NDArray[np.int64]) -> CellEncoder:
        """What pools peaks by their embeddings alone learns nothing from cells that could leak."""
        if encoder.representation in ("sequence", "trunk"):
            return encoder
        return route_encoder(reference.fit_encoder(cells).with_mix(mixed.mix), name)

    strengths = _strengths(encoder, options.strengths)
    fit = FoldOptions(strengths=strengths, network=options.network, seed=seed)
    held = hold_out(name, refit, shown, judged, types, fit=fit)
    strength, weight = choose_fusion(held, types)
    full = see_cells(name, encoder, reference.counts, reference.peaks)
    views = [full.embedding, *(look.see(name, encoder).embedding for look in shown[1:])]
    n_types = int(types.max()) + 1
    rows = sample_rows(types, _sample_size(full), seed)
    return Route(
        name=name,
        encoder=encoder,
        network=fit_network(views, types, n_types, options=options.network, seed=seed),
        linear=fit_linear(full.features, types, n_types, strength=strength),
        shape=ReferenceShape.fit(full.embedding, types, n_types),
        complete=calibrate(held[:2], types, strength, weight, options.error_rate),
        partial=calibrate(held[2:] or held, types, strength, weight, options.error_rate),
        sample=full.embedding[rows].astype(np.float16),
        sample_types=types[rows],
        sample_open=binary(full.features[rows]) if sp.issparse(full.features) else None,
        validation=_validation(held, types, strength, weight),
    )


def _sample_size(cells: Cells) -> int:
    """4,000 cells, or fewer (500 at least) where these have more than 20 million open peaks."""
    if not sp.issparse(cells.features):
        return SAMPLE_CELLS
    mean = cells.features.nnz / max(1, cells.features.shape[0])
    return min(SAMPLE_CELLS, max(500, int(SAMPLE_OPEN / max(mean, 1.0))))


def _strengths(encoder: CellEncoder, strengths: tuple[float, ...]) -> tuple[float, ...]:
    """Profiles have one column a type and unit length in all: each is to count as one of unit size.

    Held-out cells cannot say so, for the halves of the peaks that they are shown ask for more
    penalty than all peaks do.
    """
    if encoder.representation != "profile":
        return strengths
    n_columns = len(encoder.profile_mean)
    return tuple(n_columns * strength for strength in strengths)


def _looks(name: RouteName, reference: _Reference) -> tuple[list[Look], list[Look]]:
    """The reference at several depths, to fit on and to be judged by.

    For the sequence route the two are shown different halves of the peaks, as it will meet them;
    the last look of the shared route is denied a third of them.
    """
    rng = np.random.default_rng(reference.seed)
    n_peaks = len(reference.peaks)
    fitted = judged = np.arange(n_peaks)
    halved = name == "sequence" and int(reference.peaks.embedded.sum()) >= MIN_PEAKS_TO_HALVE
    if halved:
        order = rng.permutation(n_peaks)
        fitted, judged = order[::2], order[1::2]

    def look(columns: NDArray[np.int64], *, shallow: bool = True) -> Look:
        part = sp.csr_matrix(reference.counts[:, columns])
        if shallow:
            part = thin(part, rng.uniform(reference.options.shallowest, 1, part.shape[0]), rng)
        return Look(part, reference.peaks.take(columns), halved)

    shown = [look(fitted, shallow=False), look(fitted), look(fitted)]
    looks = [look(judged, shallow=False), look(judged)]
    if not halved:
        looks.append(look(np.sort(rng.permutation(n_peaks)[n_peaks // 3 :])))
    return shown, looks


def _validation(
    held: list[HeldOut], types: NDArray[np.int64], strength: float, weight: float
) -> dict[str, Any]:
    """What the report and `Bundle.validation` show: scores of cells that no model saw."""
    scores: dict[str, Any] = {"strength": strength, "linear_weight": weight}
    for depth, part in zip(("full_depth", "thinned", "fewer_peaks"), held, strict=False):
        fused = fuse(part.network, part.linear[strength], weight)
        for member, logs in (
            ("fused", fused),
            ("network", part.network),
            ("linear", part.linear[strength]),
        ):
            got = logs.argmax(axis=1)
            scores[f"{member}_{depth}"] = {
                "accuracy": float(np.mean(got == types)),
                "macro_f1": float(f1_score(types, got, average="macro", zero_division=0)),
            }
    return scores
