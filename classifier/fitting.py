"""What is fitted on reference cells: the encoder and the routes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from peakatlas.classifier.bundle.stage_files import (
    pack_encoder,
    pack_held_out,
    pack_route,
    unpack_encoder,
    unpack_held_out,
    unpack_route,
)
from peakatlas.classifier.counts.batches import batch_weights
from peakatlas.classifier.counts.peak_table import PeakTable
from peakatlas.classifier.counts.sparse import binary, thin

from .cells import CellEncoder
from .groups import TypeShares
from .heads import Head
from .level_rules import LevelRules
from .linear import LinearHead
from .network import fit_network
from .route import Calibration, Cells, Look, Route, RouteName, fuse, route_encoder, see_cells
from .selection import (
    FoldOptions,
    HeldOut,
    calibrate,
    choose_fusion,
    choose_mix,
    commensurate,
    hold_out,
    sample_rows,
)
from .validation import validate, validate_batches, validate_sets, validate_types

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.counts.levels import Levels
    from peakatlas.classifier.counts.measured_peaks import Measured
    from peakatlas.classifier.training.checkpoints import Checkpoints

    from .train import TrainOptions

SAMPLE_CELLS = 4000
SAMPLE_OPEN = 20_000_000
MIN_PEAKS_TO_HALVE = 20


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingSet:
    """What everything is fitted on; arrays have one row a cell."""

    counts: sp.csr_matrix
    peaks: PeakTable
    measured: Measured | None
    """Which peaks each cell's experiment could show; None if all."""
    levels: Levels
    types: NDArray[np.int64]
    batch_names: tuple[str, ...]
    batches: NDArray[np.int64]
    options: TrainOptions
    seed: int

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """Batches; None if there is one."""
        return self.batches if len(self.batch_names) > 1 else None

    def fit_encoder(self, cells: NDArray[np.int64] | None = None) -> CellEncoder:
        """Encoder fitted on some of the cells, or on all."""
        measured = self.measured
        if measured is not None and cells is not None:
            measured = measured.take(cells)
        return CellEncoder.fit(
            self.counts if cells is None else self.counts[cells],
            self.peaks,
            self.types if cells is None else self.types[cells],
            representation=self.options.representation,
            n_sequence=self.options.n_sequence,
            n_reindexed=self.options.n_reindexed,
            seed=self.seed,
            measured=measured,
        )


def fit_encoder(cells: TrainingSet, checkpoints: Checkpoints) -> CellEncoder:
    """Encoder of all cells, its mix chosen on held-out ones."""

    def make() -> CellEncoder:
        return choose_mix(
            cells.fit_encoder(),
            cells.counts,
            cells.peaks,
            cells.types,
            cells.fit_encoder,
            seed=cells.seed,
            batches=cells.groups,
        )

    return checkpoints.stage("encoder", make, pack_encoder, unpack_encoder)


def route_names(encoder: CellEncoder) -> tuple[RouteName, ...]:
    """Routes that an encoder serves."""
    routes: dict[str, tuple[RouteName, ...]] = {
        "hybrid": ("shared", "sequence"),
        "reindexed": ("shared",),
        "sequence": ("sequence",),
        "profile": ("sequence",),
        "trunk": ("sequence",),
    }
    return routes[encoder.representation]


def fit_route(
    name: RouteName, mixed: CellEncoder, cells: TrainingSet, checkpoints: Checkpoints
) -> Route:
    """Fit network and linear head on all cells, and choose and calibrate on held-out ones.

    Parameters
    ----------
    name : {"shared", "sequence"}
    mixed : CellEncoder
        From `fit_encoder`.
    cells : TrainingSet
    checkpoints : Checkpoints
        Where the held-out cells and the route are kept.
    """
    encoder = route_encoder(mixed, name)

    def held_out() -> list[HeldOut]:
        return checkpoints.stage(
            f"{name}-held-out",
            lambda: _hold_out(name, encoder, mixed.mix, cells),
            pack_held_out,
            unpack_held_out,
        )

    return checkpoints.stage(
        f"{name}-route",
        lambda: _fitted(name, encoder, cells, held_out()),
        pack_route,
        partial(unpack_route, name, mixed, len(cells.levels.finest)),
    )


def _hold_out(
    name: RouteName, encoder: CellEncoder, mix: float, cells: TrainingSet
) -> list[HeldOut]:
    options = cells.options
    shown, judged = _looks(name, cells)

    def refit(rows: NDArray[np.int64]) -> CellEncoder:
        """What pools peaks by their embeddings alone learns nothing from cells that could leak."""
        if encoder.representation in ("sequence", "trunk"):
            return encoder
        return route_encoder(cells.fit_encoder(rows).with_mix(mix), name)

    fit = FoldOptions(heads=_heads(encoder, options), network=options.network, seed=cells.seed)
    return hold_out(name, refit, shown, judged, cells.types, fit=fit, groups=cells.groups)


def _fitted(
    name: RouteName, encoder: CellEncoder, cells: TrainingSet, held: list[HeldOut]
) -> Route:
    options, types, seed = cells.options, cells.types, cells.seed
    shown, _ = _looks(name, cells)
    held, temperatures = commensurate(held)
    head, weight = choose_fusion(held, types)
    full = see_cells(name, encoder, cells.counts, cells.peaks)
    views = [full, *(look.see(name, encoder) for look in shown[1:])]
    n_types = len(cells.levels.finest)
    weights = batch_weights(types, cells.batches)
    linear = head.fit([view.features for view in views], types, n_types, weights)
    rows = sample_rows(types, _sample_size(full), seed, cells.groups)
    calibrated = partial(calibrate, several_batches=cells.groups is not None)
    complete = calibrated(held[:2], types, head, weight, options.error_rate)
    partly = calibrated(held[2:] or held, types, head, weight, options.error_rate)
    rules, validation = _judged(cells, held, head, complete, partly)
    return Route(
        name=name,
        encoder=encoder,
        network=fit_network(
            [view.embedding for view in views],
            types,
            n_types,
            options=options.network,
            seed=seed,
            weights=weights,
        ),
        linear=linear.cooled(temperatures[head]),
        judge=LinearHead(held[0].judge[:-1], held[0].judge[-1]),
        shares=TypeShares.fit(full.features, types, n_types, weights)
        if sp.issparse(full.features)
        else None,
        complete=complete,
        partial=partly,
        rules=rules,
        sample=full.embedding[rows].astype(np.float16),
        sample_types=types[rows],
        sample_open=binary(full.features[rows]) if sp.issparse(full.features) else None,
        validation=validation,
    )


def _judged(
    cells: TrainingSet,
    held: list[HeldOut],
    head: Head,
    complete: Calibration,
    partly: Calibration,
) -> tuple[LevelRules, dict[str, Any]]:
    """Rules of the levels, and what held-out cells say of all this."""

    def chance(part: HeldOut, by: Calibration) -> NDArray[np.float32]:
        logs = fuse(part.network, part.linear[head], by.linear_weight)
        return np.exp(fuse(logs, logs, 1.0, by.temperature.of(part.depth)))

    levels, types = cells.levels, cells.types
    whole = [chance(part, complete) for part in held[:2]]
    fewer = [chance(part, partly) for part in held[2:] or held]
    rules = LevelRules.fit(levels, types, whole, fewer, cells.options.error_rate)
    validation = validate(held, types, head, complete.linear_weight)
    validation |= validate_types(levels, types, whole[0], rules.first)
    looks = [fuse(part.network, part.linear[head], complete.linear_weight) for part in held[:2]]
    depth = [part.depth for part in held[:2]]
    validation["sets"] = validate_sets(looks, types, depth, levels.finest, seed=cells.seed)
    if cells.groups is not None:
        best = levels.best(whole[0], rules.first)
        validation["by_batch"] = validate_batches(types, best, cells.batches, cells.batch_names)
    return rules, validation


def _sample_size(cells: Cells) -> int:
    """4,000 cells, or fewer (500 at least) where these have more than 20 million open peaks."""
    if not sp.issparse(cells.features):
        return SAMPLE_CELLS
    mean = cells.features.nnz / max(1, cells.features.shape[0])
    return min(SAMPLE_CELLS, max(500, int(SAMPLE_OPEN / max(mean, 1.0))))


def _heads(encoder: CellEncoder, options: TrainOptions) -> tuple[Head, ...]:
    """Linear members to choose from; discriminants are of TF-IDF rows, where there are such.

    Profiles have one column a type and unit length in all: each is to count as one of unit size.

    Held-out cells cannot say so, for the halves of the peaks that they are shown ask for more
    penalty than all peaks do.
    """
    by = len(encoder.profile_mean) if encoder.representation == "profile" else 1
    heads = [Head("logistic", by * strength) for strength in options.strengths]
    if encoder.representation in ("hybrid", "reindexed"):
        heads += [Head("discriminant", ridge) for ridge in options.ridges]
    return tuple(heads)


def _looks(name: RouteName, cells: TrainingSet) -> tuple[list[Look], list[Look]]:
    """The reference at several depths, to fit on and to be judged by.

    For the sequence route the two are shown different halves of the peaks, as it will meet them;
    the last look of the shared route is denied a third of them.
    """
    rng = np.random.default_rng(cells.seed)
    n_peaks = len(cells.peaks)
    fitted = judged = np.arange(n_peaks)
    halved = name == "sequence" and int(cells.peaks.embedded.sum()) >= MIN_PEAKS_TO_HALVE
    if halved:
        order = rng.permutation(n_peaks)
        fitted, judged = order[::2], order[1::2]

    def look(columns: NDArray[np.int64], *, shallow: bool = True) -> Look:
        part = sp.csr_matrix(cells.counts[:, columns])
        if shallow:
            part = thin(part, rng.uniform(cells.options.shallowest, 1, part.shape[0]), rng)
        return Look(part, cells.peaks.take(columns), halved)

    shown = [look(fitted, shallow=False), look(fitted), look(fitted)]
    looks = [look(judged, shallow=False), look(judged)]
    if not halved:
        looks.append(look(np.sort(rng.permutation(n_peaks)[n_peaks // 3 :])))
    return shown, looks
