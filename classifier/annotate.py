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
from peakatlas.classifier.bundle.bundle import METHODS, Bundle
from peakatlas.classifier.bundle.statistics_file import read_statistics, write_statistics
from peakatlas.classifier.bundle.versions import versions
from peakatlas.classifier.counts.matrix import CellCounts, read_counts
from peakatlas.classifier.counts.registry import Sources, resolve
from peakatlas.classifier.counts.written import fresh_copy
from peakatlas.classifier.explain.elements import marker_elements
from peakatlas.classifier.training.labeller import LabellerOptions, fit_labeller
from peakatlas.classifier.trust.advice import alerts_of
from peakatlas.classifier.trust.rejection import NEARLY_NOVEL_P, Rejection, Rule
from peakatlas.classifier.trust.verdicts import type_verdicts
from peakatlas.engine.errors import BundleError
from peakatlas.engine.run.progress import counter, logged

from .cell_labels import N_AXES, CellLabels, expected_shares, label_cells
from .query import Query, check_readable
from .results import Results

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad
    from numpy.typing import NDArray

    from peakatlas.classifier.counts.registry import ResolvedValues
    from peakatlas.classifier.naming.peak_terms import PeakTerms
    from peakatlas.classifier.training.labeller import FittedLabeller
    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder
    from peakatlas.engine.intervals.table import Intervals

MOST_BEHIND = 4_000
"""Reference cells that are kept for maps."""


@dataclass(frozen=True, kw_only=True)
class AnnotateOptions:
    """How a query is annotated."""

    reject: bool = True
    """Whether uncertain and novel cells are left "Unassigned"."""
    rule: Rule = "limits"
    """What makes a cell uncertain: ``limits`` or ``sets``; see `Rejection`."""
    alpha: float = 0.1
    """Error rate of the sets of types, from 0.001 to 0.5."""
    statistics: str | None = None
    """File with what was learnt from a whole query, of which this one is a part."""
    write_statistics: str | None = None
    """File to write what is learnt from this query to."""
    max_offset: int | None = None
    """Largest offset of centres (bp) at which an overlapping atlas row gives a peak's embedding."""
    append: bool = False
    """Whether embeddings computed on the way are kept in the atlas."""
    match_contigs: bool = False
    """Whether contigs of the peaks are renamed by style (``chr1``, ``1``) to those of the atlas."""
    chain: str | None = None
    """Chain file by which the peaks are first lifted to the genome build of the atlas."""
    seed: int = 0
    """Of the labeller."""

    def __post_init__(self) -> None:
        Rejection(rule=self.rule, alpha=self.alpha)

    @property
    def rejection(self) -> Rejection:
        """When a cell is left "Unassigned"."""
        return Rejection(rule=self.rule if self.reject else "none", alpha=self.alpha)


@dataclass(frozen=True, eq=False, kw_only=True)
class Annotation:
    """Results, beside the counts that they belong to."""

    counts: CellCounts
    results: Results

    def write(self, path: str | Path) -> None:
        """Write the query with the results as an h5ad.

        Counts that stayed in their file are copied as they are.

        Parameters
        ----------
        path : str or Path
            Replaced.
        """
        given = self.counts
        if given.rows.stored and given.path is not None:
            self.results.write_copy(given.adata, given.path, path)
        else:
            self.to_anndata().write_h5ad(path, compression="gzip")

    def to_anndata(self) -> ad.AnnData:
        """A copy of the query with the results, in memory."""
        held = fresh_copy(self.counts.adata)
        self.results.put_into(held)
        return held


def annotate(  # noqa: PLR0913 - options are keyword-only
    query: str | Path | ad.AnnData | CellCounts,
    bundle: Bundle | str | Path,
    atlas: Atlas | str | Path | None = None,
    genome: str | Path | SequenceSource | None = None,
    *,
    embedder: Embedder | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    mod: str | None = None,
    terms: PeakTerms | None = None,
    options: AnnotateOptions | None = None,
    progress: Callable[[str], None] | None = None,
) -> ad.AnnData:
    """Label the cells of a query.

    No column of the query's `obs` is read.

    Parameters
    ----------
    query : path, AnnData, MuData, or CellCounts
        Counts, cells × peaks, in any format of `read_counts`. Not modified.
    bundle : Bundle, or path of one
    atlas : Atlas, or path of one, optional
        The one that the bundle was trained with; without it DNA is not read.
    genome : path of a FASTA, or SequenceSource, optional
        For peaks that miss the atlas; without it they are used by their coordinates only.
    embedder : Embedder, optional
        Model of the atlas, for peaks that miss it; without it, the one that the atlas names is
        loaded when needed.
    layer : str, optional
        Layer of the query that holds the counts; `X` if not given.
    use_raw : bool
        Take counts and peaks from `raw`.
    mod : str, optional
        Modality of a MuData (h5mu) with the peaks, if it is not called like ``atac`` or ``peaks``.
    terms : PeakTerms, optional
        The elements that the bundle was trained with, for the query's genome build. A query of
        another build than the bundle's has no peaks in common, unless its peaks are lifted.
    options : AnnotateOptions, optional
    progress : callable, optional
        Called with a few words as each step begins.

    Returns
    -------
    AnnData
        A copy of the query with ``obs["peakatlas_label"]``, ``["peakatlas_confidence"]``,
        ``["peakatlas_best"]``, ``["peakatlas_uncertainty"]``, ``["peakatlas_novelty"]``,
        ``["peakatlas_novelty_p"]``, ``["peakatlas_reason"]``, ``["peakatlas_set"]`` (the set of
        types that the cell may be of, ``|`` between them), ``["peakatlas_set_size"]``,
        ``["peakatlas_verdict"]`` (what may be done with the cell's label, by held-out cells),
        ``var["peakatlas_tier"]`` (what served each peak), ``obsm["X_peakatlas"]`` (axes that
        reference and query share), ``obsm["peakatlas_probabilities"]`` (one column a type, in the
        order of ``uns["peakatlas"]["types"]``), for a bundle of several levels
        ``obs["peakatlas_label_<column>"]`` and ``["peakatlas_confidence_<column>"]`` of each, for
        one with terms of the Cell Ontology ``obs["peakatlas_term_id"]`` (of the label),
        ``["peakatlas_set_term"]`` and ``["peakatlas_set_term_id"]`` (the nearest term above all
        types of the set) and, where the query has none, ``["cell_type_ontology_term_id"]`` (the
        label's, for an uncertain cell the set's, or "unknown"), and
        ``uns["peakatlas"]`` (provenance as JSON text: ``"record"``, and under ``"inputs"`` the
        paths that were given; reference cells on the same axes; ``"markers"``: the
        `marker_elements` of each type; ``"verdicts"``: a table of types, see
        `TypeVerdict`). Columns of an earlier annotation are replaced.

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
    return annotation_of(
        query,
        bundle,
        atlas,
        genome,
        embedder=embedder,
        layer=layer,
        use_raw=use_raw,
        mod=mod,
        terms=terms,
        options=options,
        progress=progress,
    ).to_anndata()


def annotation_of(  # noqa: PLR0913 - as above
    query: str | Path | ad.AnnData | CellCounts,
    bundle: Bundle | str | Path,
    atlas: Atlas | str | Path | None = None,
    genome: str | Path | SequenceSource | None = None,
    *,
    embedder: Embedder | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    mod: str | None = None,
    terms: PeakTerms | None = None,
    options: AnnotateOptions | None = None,
    progress: Callable[[str], None] | None = None,
) -> Annotation:
    """The results alone; takes and raises the same as `annotate`."""
    options, say = options or AnnotateOptions(), logged(progress)
    model = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    store = Atlas.open(atlas) if isinstance(atlas, str | Path) else atlas
    model.check_atlas(store)
    say("reading the query")
    counts = read_counts(query, layer=layer, use_raw=use_raw, mod=mod)
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
    named = sources.named(counts.peaks, store, model.peaks)
    found = resolve(named, store, sources, counter(progress))
    say(f"peaks: {found.describe(named)}")
    values, same_build = found.values, True
    if terms is not None:
        values, same_build = _by_terms(counts, model, terms, options)
        say(f"{int(np.isfinite(values[:, 0]).sum()):,} peaks have terms of {terms.source}")
    elif model.elements is not None:
        say(
            f"warning: the bundle describes peaks by {model.elements.source}, which is not read: "
            "give --elements and --build"
        )
    matched = Query.match(counts, named, values, model, same_build=same_build)
    say("fitting the labeller to it")
    fitted = _fitted(matched, named, model, options)
    say("labelling its cells")
    cells = label_cells(matched, fitted, model, options.rejection)
    held = fitted.held_out
    verdicts = type_verdicts(np.asarray(model.types), held.codes, held.best, held.confidence)
    obs = cells.columns(model, counts.adata.obs_names, verdicts)
    inputs = {"query": query, "bundle": bundle, "atlas": atlas, "genome": genome}
    record = {
        **_record(counts, model, found, cells),
        "expected": expected_shares(fitted, model, options.rejection),
        "options": asdict(options),
        "labeller": fitted.diagnostics,
        "verdicts": [verdict.to_json() for verdict in verdicts],
        "read": {
            "layer": layer,
            "use_raw": use_raw,
            "mod": counts.modality,
            **({} if terms is None else terms.options),
        },
    }
    record["alerts"] = alerts_of(record)
    record["warnings"] = [alert["text"] for alert in record["alerts"]]
    uns = {
        "record": json.dumps(record, sort_keys=True),
        "inputs": json.dumps({name: _path(value) for name, value in inputs.items()}),
        "markers": marker_elements(model),
        "verdicts": _verdict_table(record["verdicts"]),
        "types": np.asarray(model.types),
        **_behind(fitted, model),
    }
    results = Results(
        obs=obs,
        tiers=pd.Categorical(found.tier_names(), categories=TIERS),
        embedding=cells.axes,
        probabilities=cells.probabilities,
        uns=uns,
    )
    return Annotation(counts=counts, results=results)


def _by_terms(
    counts: CellCounts, bundle: Bundle, terms: PeakTerms, options: AnnotateOptions
) -> tuple[NDArray[np.float32], bool]:
    """Vectors of the query's peaks by terms, and whether its coordinates are the bundle's."""
    if bundle.elements is None:
        raise BundleError(
            "the bundle was trained without annotated elements. Train it with --elements, or leave "
            "them out here."
        )
    vectors = terms.vectors(counts.peaks, bundle.elements.terms)
    return vectors, terms.build == bundle.elements.build or options.chain is not None


def _fitted(
    query: Query, named: Intervals, bundle: Bundle, options: AnnotateOptions
) -> FittedLabeller:
    """The labeller, fitted to the query or to what was learnt from the whole of it before."""
    asked = LabellerOptions(members=METHODS[bundle.method], seed=options.seed)
    if options.statistics is None:
        learnt = query.statistics(asked.max_query, options.seed)
    else:
        learnt = read_statistics(options.statistics, named, bundle.peaks)
    check_readable(query, learnt, named, bundle)
    if options.write_statistics is not None:
        write_statistics(options.write_statistics, learnt, named, bundle.peaks)
    return fit_labeller(bundle.reference, learnt, options=asked)


def _path(given: object) -> str | None:
    """How to name an input on a command line; None for what is not given or lies in memory."""
    if isinstance(given, Atlas):
        return given.name
    given = given.path if isinstance(given, CellCounts) else given
    return str(given) if isinstance(given, str | Path) else None


def _verdict_table(verdicts: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a type, as the notebook shows it."""
    found = pd.DataFrame(verdicts).drop(columns="verdict").rename(columns={"words": "verdict"})
    first = ["type", "verdict", "cells", "f1", "precision", "recall", "confidence", "cutoff"]
    return found[[*first, "mistaken_for", "reason"]].astype(dict.fromkeys(first[3:], float))


def _behind(fitted: FittedLabeller, bundle: Bundle) -> dict[str, Any]:
    """Reference cells on the axes of the query's cells, for maps."""
    axes, codes = fitted.reference_axes(N_AXES)
    rows = np.sort(np.random.default_rng(0).permutation(len(codes))[:MOST_BEHIND])
    return {
        "reference_embedding": axes[rows].astype(np.float16),
        "reference_types": np.asarray(bundle.types)[codes[rows]],
    }


def _record(
    counts: CellCounts, bundle: Bundle, found: ResolvedValues, cells: CellLabels
) -> dict[str, Any]:
    return {
        "software": versions(),
        "query": counts.source,
        "cells": counts.n_cells,
        "peaks": counts.n_peaks,
        "median_depth": float(np.median(cells.depth)),
        "types": list(bundle.types),
        "labels": _counted(cells.named(bundle)),
        "levels": bundle.levels.to_json(),
        "labels_by_level": {name: _counted(each.labels) for name, each in cells.levels.items()},
        "unassigned": _counted(cells.reason[cells.reason != ""]),
        "nearly_novel": _nearly_novel(cells),
        "shared_counts": cells.matched / cells.counted if cells.counted else 0.0,
        "tiers": found.tiers(),
        "spec": None if bundle.spec is None else bundle.spec.to_json(),
        "spec_digest": None if bundle.spec is None else bundle.spec.digest,
        "method": bundle.method,
        "ontology": None if bundle.ontology is None else bundle.ontology.to_json(),
        "bundle": bundle.provenance,
        "held_out": bundle.held_out,
    }


def _nearly_novel(cells: CellLabels) -> int:
    """Cells that are nearly as unlike the reference as those called novel."""
    near = (cells.novelty_p < NEARLY_NOVEL_P) & ~np.isin(cells.reason, ("novel", "empty"))
    return int(near.sum())


def _counted(labels: NDArray[np.str_]) -> dict[str, int]:
    names, sizes = np.unique(labels, return_counts=True)
    return dict(zip(map(str, names), sizes.tolist(), strict=True))
