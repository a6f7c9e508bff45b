"""From labelled references to a bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.classifier.bundle.bundle import Bundle
from peakatlas.classifier.bundle.stage_files import pack_lookup, unpack_lookup
from peakatlas.classifier.bundle.versions import versions
from peakatlas.classifier.counts.references import JoinedCounts, LabelledSet, join
from peakatlas.classifier.counts.registry import Sources, resolve
from peakatlas.classifier.training.checkpoints import Checkpoints, digest_of
from peakatlas.engine.run.progress import counter

from .fitting import TrainingSet, fit_encoder, fit_route, route_names
from .network import NetworkOptions
from .representations import Representation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peakatlas.atlas.atlas import Atlas
    from peakatlas.classifier.counts.references import Reference
    from peakatlas.classifier.counts.registry import ResolvedValues
    from peakatlas.engine.intervals.table import Intervals


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
    """Inverse ridge penalties of the logistic regressions to choose the linear member from."""
    ridges: tuple[float, ...] = (1e-3, 3e-4)
    """Ridges of the discriminants to choose it from, as shares of the total variance."""
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
        if self.ridges and min(self.ridges) <= 0:
            raise ValueError(f"ridges must be above 0, not {self.ridges}")


def train(  # noqa: PLR0913 - options are keyword-only
    reference: Reference | Sequence[Reference],
    labels_key: str | Sequence[str],
    atlas: Atlas | None = None,
    *,
    batch_key: str | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    sources: Sources | None = None,
    options: TrainOptions | None = None,
    checkpoints: str | Path | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Bundle:
    """Train a classifier on labelled reference cells.

    Everything is fitted and chosen on the references. The same input and seed give the same
    bundle, bit for bit, on the same machine, however often it was interrupted.

    References may have different peaks and file formats: each is looked up by itself and carried
    to one set of intervals. A peak that a reference did not count is unknown in its cells, not
    closed. Each reference is a batch, unless `batch_key` names a column; with both, so is each
    value in each reference. Batches are balanced within a type, and held out whole.

    Parameters
    ----------
    reference : path of a count matrix, or AnnData; or several of them
        Counts, cells × peaks. Not modified.
    labels_key : str, or sequence of str
        Column of `obs` with the cell types; or several, for coarse and fine types in any order.
        Types must be nested. The classifier learns the finest; the others follow from it.
    atlas : Atlas, optional
        Without it there is no sequence, and peaks are matched by coordinates only.
    batch_key : str, optional
        Column of `obs` with the batch (donor, experiment) of each cell.
    layer : str, optional
        Layer of the references that holds the counts; `X` if not given.
    use_raw : bool
        Take counts and peaks from `raw`.
    sources : Sources, optional
        Genome and model for peaks that miss the atlas.
    options : TrainOptions, optional
    checkpoints : str or Path, optional
        Folder in which finished stages are kept: the same call goes on after them. Remove it when
        the bundle is saved.
    seed : int
    progress : callable, optional
        Called with a few words as each step begins.

    Raises
    ------
    CountsError, IntervalError
        If a reference cannot be used.
    LabelsError
        If labels are absent, too few or not nested, or a reference lacks a column.
    ValueError
        If ``representation="sequence"`` is asked for and no peak has an embedding.
    AtlasError
        If a checkpoint cannot be written.

    Examples
    --------
    >>> import peakatlas
    >>> bundle = peakatlas.train("reference.h5ad", "cell_type")  # no atlas: DNA is not read
    >>> bundle.types
    ('B', 'NK', 'T', 'dendritic', 'monocyte', 'progenitor')
    >>> bundle.save("plain-bundle")
    """
    options, say = options or TrainOptions(), progress or (lambda _: None)
    sources = sources or Sources()
    columns = [labels_key] if isinstance(labels_key, str) else list(labels_key)
    say("reading the reference")
    labelled = LabelledSet.read(reference, columns, batch_key, layer=layer, use_raw=use_raw)
    named = labelled.named(sources, atlas)
    kept = Checkpoints(None, "")
    if checkpoints is not None:
        key = digest_of(*_inputs(labelled, named), *_means(atlas, sources, options, seed))
        kept = Checkpoints(Path(checkpoints), key, say)
    say("looking up its peaks")
    found = [
        _looked_up(i, peaks, atlas, sources, kept, counter(progress))
        for i, peaks in enumerate(named)
    ]
    for part, peaks, each in zip(labelled.parts, named, found, strict=True):
        whose = f"{part.counts.source}: " if len(found) > 1 else ""
        say(f"{whose}peaks: {each.describe(peaks)}")
    joined = join([part.counts for part in labelled.parts], named, found, atlas)
    cells = _training_set(labelled, joined, options, seed)
    say("embedding its cells")
    kept = kept.keyed(joined.peaks.values, joined.peaks.rows)
    encoder = fit_encoder(cells, kept)
    routes = {}
    for name in route_names(encoder):
        say(f"fitting the {name} route")
        routes[name] = fit_route(name, encoder, cells, kept)
    return Bundle(
        levels=labelled.levels,
        registry=joined.registry,
        spec=None if atlas is None else atlas.spec,
        encoder=encoder,
        routes=routes,
        provenance={
            **_provenance(labelled, joined, found, columns, batch_key),
            "options": asdict(options),
            "seed": seed,
        },
    )


def _looked_up(
    number: int,
    peaks: Intervals,
    atlas: Atlas | None,
    sources: Sources,
    kept: Checkpoints,
    count: Callable[[int, int], None],
) -> ResolvedValues:
    return kept.stage(
        f"lookup-{number}",
        lambda: resolve(peaks, atlas, sources, count),
        pack_lookup,
        lambda arrays, _: unpack_lookup(peaks, arrays),
    )


def _training_set(
    labelled: LabelledSet, joined: JoinedCounts, options: TrainOptions, seed: int
) -> TrainingSet:
    return TrainingSet(
        counts=joined.matrix,
        peaks=joined.peaks,
        measured=joined.measured,
        levels=labelled.levels,
        types=labelled.types,
        batch_names=labelled.batch_names,
        batches=labelled.batches,
        options=options,
        seed=seed,
    )


def _inputs(labelled: LabelledSet, named: Sequence[Intervals]) -> list[object]:
    """All of the data that a bundle is made from."""
    matrices = [part.counts.matrix for part in labelled.parts]
    pieces: list[object] = [labelled.levels.to_json(), labelled.types, labelled.batches]
    pieces += [labelled.batch_names]
    for matrix, peaks in zip(matrices, named, strict=True):
        pieces += [matrix.shape, matrix.indptr, matrix.indices, matrix.data]
        pieces += [peaks.contigs, peaks.contig_ids, peaks.start, peaks.end]
    return pieces


def _means(atlas: Atlas | None, sources: Sources, options: TrainOptions, seed: int) -> list[object]:
    """All else that a bundle is made from: embeddings, options, software."""
    pieces: list[object] = [versions(), asdict(options), seed, sources.max_offset]
    genome = sources.genome
    if isinstance(genome, str | Path):
        pieces.append(Path(genome))
    elif genome is not None:
        pieces.append(dict(genome.contig_sizes))
    if atlas is not None:
        rows = atlas.intervals
        pieces += [atlas.spec.digest, rows.contigs, rows.contig_ids, rows.start, rows.end]
        pieces += [atlas.digests, atlas.state]
    return pieces


def _provenance(
    labelled: LabelledSet,
    joined: JoinedCounts,
    found: Sequence[ResolvedValues],
    columns: Sequence[str],
    batch_key: str | None,
) -> dict[str, Any]:
    names, types = labelled.levels.finest, labelled.types
    depth = np.concatenate([part.counts.depth for part in labelled.parts])
    tiers = [each.tiers() for each in found]
    return {
        "peakatlas": versions(),
        "reference": ", ".join(part.counts.source for part in labelled.parts),
        "references": labelled.record(found),
        "labels_key": ",".join(columns),
        "batch_key": batch_key,
        "cells": labelled.n_cells,
        "peaks": len(joined.peaks),
        "cells_by_type": dict(zip(names, np.bincount(types).tolist(), strict=True)),
        "cells_by_batch": labelled.cells_by_batch(),
        "median_depth": float(np.median(depth)),
        "tiers": {name: sum(each.get(name, 0) for each in tiers) for name in tiers[0]},
    }
