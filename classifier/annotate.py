"""The one call: a query, a bundle and an atlas in, an annotated query out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from peakatlas.atlas.atlas import Atlas
from peakatlas.atlas.search.lookup import TIERS
from peakatlas.classifier.bundle.bundle import Bundle
from peakatlas.classifier.bundle.versions import versions
from peakatlas.classifier.counts.matrix import CellCounts, read_counts
from peakatlas.classifier.counts.peak_table import PeakTable
from peakatlas.classifier.counts.registry import Sources, registry_rows, resolve
from peakatlas.classifier.counts.written import fresh_copy
from peakatlas.classifier.explain.elements import marker_elements
from peakatlas.classifier.trust.advice import warnings_of
from peakatlas.engine.run.progress import counter

from .align import Alignment
from .predict import Prediction, predict
from .rejection import Rejection, Rule, set_names

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad
    from numpy.typing import NDArray

    from peakatlas.classifier.counts.registry import ResolvedValues
    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder


@dataclass(frozen=True, kw_only=True)
class AnnotateOptions:
    """How a query is annotated."""

    alignment: Alignment = "adaptive"
    """Adaptation to the query: ``adaptive``, ``none``, a named loss or ``self-training``."""
    reject: bool = True
    """Whether uncertain and novel cells are left "Unassigned"."""
    rule: Rule = "limits"
    """What makes a cell uncertain: ``limits`` or ``sets``; see `Rejection`."""
    alpha: float = 0.1
    """Error rate of the sets of types, from 0.001 to 0.5; see `Conformal`."""
    max_offset: int | None = None
    """Largest offset of centres (bp) at which an overlapping atlas row gives a peak's embedding."""
    append: bool = False
    """Whether embeddings computed on the way are kept in the atlas."""
    match_contigs: bool = False
    """Whether contigs of the peaks are renamed by style (``chr1``, ``1``) to those of the atlas."""
    chain: str | None = None
    """Chain file by which the peaks are first lifted to the genome build of the atlas."""
    seed: int = 0
    """Of the alignment."""

    def __post_init__(self) -> None:
        Rejection(rule=self.rule, alpha=self.alpha)

    @property
    def rejection(self) -> Rejection:
        """When a cell is left "Unassigned"."""
        return Rejection(rule=self.rule if self.reject else "none", alpha=self.alpha)


def annotate(  # noqa: PLR0913 - options are keyword-only
    query: str | Path | ad.AnnData | CellCounts,
    bundle: Bundle | str | Path,
    atlas: Atlas | str | Path | None = None,
    genome: str | Path | SequenceSource | None = None,
    *,
    embedder: Embedder | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    options: AnnotateOptions | None = None,
    progress: Callable[[str], None] | None = None,
) -> ad.AnnData:
    """Label the cells of a query.

    No column of the query's `obs` is read.

    Parameters
    ----------
    query : path, AnnData, or CellCounts
        Counts, cells × peaks, in any format of `read_counts`. Not modified.
    bundle : Bundle, or path of one
    atlas : Atlas, or path of one, optional
        Needed when the bundle was trained with one.
    genome : path of a FASTA, or SequenceSource, optional
        For peaks that miss the atlas; without it they are used by their coordinates only.
    embedder : Embedder, optional
        Model of the atlas, for peaks that miss it; without it, the one that the atlas names is
        loaded when needed.
    layer : str, optional
        Layer of the query that holds the counts; `X` if not given.
    use_raw : bool
        Take counts and peaks from `raw`.
    options : AnnotateOptions, optional
    progress : callable, optional
        Called with a few words as each step begins.

    Returns
    -------
    AnnData
        A copy of the query with ``obs["peakatlas_label"]``, ``["peakatlas_confidence"]``,
        ``["peakatlas_best"]``, ``["peakatlas_uncertainty"]``, ``["peakatlas_novelty"]``,
        ``["peakatlas_reason"]``, ``["peakatlas_types"]`` (the set of types that the cell may be
        of, ``|`` between them), ``["peakatlas_n_types"]`` (how many these are),
        ``var["peakatlas_tier"]`` (what served each peak), ``obsm["X_peakatlas"]`` (aligned
        embedding), for a bundle of several levels ``obs["peakatlas_label_<column>"]`` and
        ``["peakatlas_confidence_<column>"]`` of each, and ``uns["peakatlas"]`` (provenance as JSON
        text: ``"record"``, and under ``"inputs"`` the paths that were given; and a sample of the
        reference in the same embedding; ``"markers"``: the `marker_elements` of each type).

    Raises
    ------
    CountsError, IntervalError
        If the query cannot be used.
    BundleError, SpecMismatchError
        If the bundle is damaged, or does not belong to the atlas.
    AtlasError, GenomeError
        If the atlas or the genome cannot be used.

    Examples
    --------
    >>> import peakatlas
    >>> cells = peakatlas.annotate("query.h5ad", "bundle", "atlas.zarr", "hg38.fa.gz")
    >>> bool(cells.obs["peakatlas_confidence"].between(0, 1).all())
    True
    >>> set(cells.obs["peakatlas_label"]) <= {*peakatlas.Bundle.load("bundle").types, "Unassigned"}
    True
    """
    options, say = options or AnnotateOptions(), progress or (lambda _: None)
    model = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    store = Atlas.open(atlas) if isinstance(atlas, str | Path) else atlas
    model.check_atlas(store)
    say("reading the query")
    counts = read_counts(query, layer=layer, use_raw=use_raw)
    say("looking up its peaks")
    sources = Sources(
        genome=genome,
        embedder=embedder,
        max_offset=options.max_offset,
        append=options.append,
        match_contigs=options.match_contigs,
        chain=options.chain,
        report=say,
    )
    named = sources.named(counts.peaks, store, model.registry)
    found = resolve(named, store, sources, counter(progress))
    say(f"peaks: {found.describe(named)}")
    peaks = PeakTable(found.values, registry_rows(named, model.registry))
    said = predict(
        model,
        counts.rows,
        peaks,
        alignment=options.alignment,
        rejection=options.rejection,
        seed=options.seed,
        progress=progress,
    )
    annotated = _written(counts, model, said, _record(counts, model, found, said, options))
    annotated.var["peakatlas_tier"] = pd.Categorical(found.tier_names(), categories=TIERS)
    inputs = {"query": query, "bundle": bundle, "atlas": atlas, "genome": genome}
    annotated.uns["peakatlas"]["inputs"] = json.dumps({k: _path(v) for k, v in inputs.items()})
    return annotated


def _path(given: object) -> str | None:
    """How to name an input on a command line; None for what is not given or lies in memory."""
    if isinstance(given, Atlas):
        return given.name
    given = given.path if isinstance(given, CellCounts) else given
    return str(given) if isinstance(given, str | Path) else None


def _record(
    counts: CellCounts,
    bundle: Bundle,
    found: ResolvedValues,
    said: Prediction,
    options: AnnotateOptions,
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "software": versions(),
        "query": counts.source,
        "cells": counts.n_cells,
        "peaks": counts.n_peaks,
        "median_depth": float(np.median(said.depth)),
        "types": list(bundle.types),
        "labels": _counted(said.labels),
        "levels": bundle.levels.to_json(),
        "labels_by_level": {level: _counted(told.labels) for level, told in said.levels.items()},
        "unassigned": _counted(said.reason[said.reason != ""]),
        "route": said.route,
        "shared_counts": said.shared,
        "tiers": found.tiers(),
        "alignment": said.adaptation.to_json(),
        "options": asdict(options),
        "spec": None if bundle.spec is None else bundle.spec.to_json(),
        "spec_digest": None if bundle.spec is None else bundle.spec.digest,
        "bundle": bundle.provenance,
        "validation": bundle.validation,
    }
    return {**record, "warnings": warnings_of(record)}


def _counted(labels: NDArray[np.str_]) -> dict[str, int]:
    names, sizes = np.unique(labels, return_counts=True)
    return dict(zip(map(str, names), sizes.tolist(), strict=True))


def _written(
    counts: CellCounts, bundle: Bundle, said: Prediction, record: dict[str, Any]
) -> ad.AnnData:
    annotated = fresh_copy(counts.adata)
    categories = [*bundle.types, "Unassigned"]
    obs = annotated.obs
    obs["peakatlas_label"] = pd.Categorical(said.labels, categories=categories)
    obs["peakatlas_confidence"] = said.confidence
    obs["peakatlas_best"] = pd.Categorical(said.best, categories=list(bundle.types))
    obs["peakatlas_uncertainty"] = said.uncertainty
    obs["peakatlas_novelty"] = said.novelty
    obs["peakatlas_reason"] = pd.Categorical(said.reason)
    obs["peakatlas_types"] = pd.Categorical(set_names(said.sets, bundle.types))
    obs["peakatlas_n_types"] = said.sets.sum(axis=1).astype(np.int32)
    for level, types in zip(said.levels, bundle.levels.types, strict=False):
        labels = pd.Categorical(said.levels[level].labels, categories=[*types, "Unassigned"])
        obs[f"peakatlas_label_{level}"] = labels
        obs[f"peakatlas_confidence_{level}"] = said.levels[level].confidence
    annotated.obsm["X_peakatlas"] = said.latent
    markers = {"markers": marker_elements(bundle)} if "shared" in bundle.routes else {}
    annotated.uns["peakatlas"] = {
        **markers,
        "record": json.dumps(record, sort_keys=True),
        "reference_embedding": said.reference_latent.astype(np.float16),
        "reference_types": np.asarray(bundle.types)[bundle.routes[said.route].sample_types],
    }
    return annotated
