"""The one call that needs no reference: a query in, cells named by public annotations out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy.sparse as sp

from .counts.matrix import read_counts
from .counts.written import in_memory_copy
from .naming.names import LEAST_FIT, name_cells
from .naming.peak_terms import PeakTerms
from .ontology.cell_ontology import cell_ontology

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad

    from .counts.matrix import CellCounts
    from .naming.element_files import AnnotatedElements
    from .naming.names import CellNames

NO_TERM = "no term fits"
COLUMNS = ("peakatlas_name", "peakatlas_name_id", "peakatlas_name_lineage", "peakatlas_name_score")
"""Columns of `obs` that are written, beside ``peakatlas_name_confidence``."""


def name(  # noqa: PLR0913 - options are keyword-only
    query: str | Path | ad.AnnData | CellCounts,
    *,
    build: Literal["hg38", "hg19"],
    tissue: str | None = None,
    elements: str | Path | AnnotatedElements | None = None,
    chain: str | Path | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    progress: Callable[[str], None] | None = None,
) -> ad.AnnData:
    """Name the cells of a query by the annotated elements that they open; no reference is needed.

    Parameters
    ----------
    query : path, AnnData, or CellCounts
        Cells × peaks, counts, as `read_counts` takes them. Not modified.
    build : {'hg38', 'hg19'}
        Genome build of the peaks.
    tissue : str, optional
        Tissue whose terms are considered, such as ``Blood``; all terms if not given.
    elements : path or AnnotatedElements, optional
        Table of chrom, start, end and Cell Ontology ids, of the peaks' build; REMO v1 (hg38) from
        the package remopy if not given.
    chain : path, optional
        UCSC chain file from the peaks' build to that of the elements.
    layer : str, optional
        Layer that holds the counts; `X` if not given.
    use_raw : bool
        Take counts and peaks from `raw`.
    progress : callable, optional
        Called with the name of each step.

    Returns
    -------
    AnnData
        A copy with ``obs["peakatlas_name"]`` (a label of the Cell Ontology, or "no term fits"),
        ``…_id``, ``…_lineage`` (label of a broad kind), ``…_score`` (best score by the root of
        open peaks), ``…_confidence`` (probability of the lineage),
        ``obsm["X_peakatlas_terms"]``, and ``uns["peakatlas_name"]``.

    Raises
    ------
    CountsError, LabelsError, IntervalError, ContigError, MissingDependencyError
        If the query cannot be used, the builds differ and there is no chain, no peak carries a
        term, or REMO is not installed.

    Examples
    --------
    >>> import peakatlas
    >>> named = peakatlas.name("query.h5ad", build="hg19", elements="elements.tsv")
    >>> named.obs["peakatlas_name"].nunique() >= 1
    True
    """
    say = progress or (lambda _: None)
    say("reading annotated elements")
    terms = PeakTerms.open(build, elements, chain)
    annotated = terms.annotated
    say("reading the query")
    counts = read_counts(query, layer=layer, use_raw=use_raw)
    say("looking up its peaks")
    peak_terms = terms.of(counts.peaks)
    say("naming cells")
    opened = sp.csr_matrix(counts.matrix, copy=True)
    opened.data[:] = 1
    wanted = annotated.terms_in(tissue)
    names = name_cells(opened, peak_terms, annotated.table.terms, wanted)
    say("writing names")
    out = in_memory_copy(counts.adata)
    _write(out, names)
    on_peak = np.asarray(peak_terms.sum(axis=1)).ravel() > 0
    out.uns["peakatlas_name"] = {
        "elements": annotated.table.source,
        "ontology": cell_ontology().edition,
        "tissue": tissue or "all",
        "terms": np.array(names.terms, dtype=object),
        "peaks_with_terms": int(on_peak.sum()),
        "least_score": LEAST_FIT,
    }
    return out


def _write(out: ad.AnnData, names: CellNames) -> None:
    ontology, named = cell_ontology(), names.named
    ids = np.where(named, np.array(names.terms, dtype=object)[names.best], "")
    labels = {term: ontology.label(term) for term in {*names.terms, *names.lineage}}
    fine = [labels.get(term, NO_TERM) for term in ids]
    broad = [
        labels[kind] if known else NO_TERM for kind, known in zip(names.lineage, named, strict=True)
    ]
    values = (fine, ids.astype(str), broad, names.fit)
    for column, value in zip(COLUMNS, values, strict=True):
        out.obs[column] = value
    out.obs["peakatlas_name_confidence"] = np.where(named, names.confidence, np.nan)
    out.obsm["X_peakatlas_terms"] = names.scores
