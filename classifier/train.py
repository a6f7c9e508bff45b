"""From labelled references to a bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.classifier.bundle.bundle import METHODS, Bundle, Method
from peakatlas.classifier.bundle.reference_files import own_dna
from peakatlas.classifier.bundle.settings import ElementsDocument
from peakatlas.classifier.bundle.versions import versions
from peakatlas.classifier.counts.references import (
    JoinedCounts,
    LabelledSet,
    join,
    read_references,
)
from peakatlas.classifier.counts.registry import Sources, resolve
from peakatlas.classifier.models.protocol import Cells
from peakatlas.classifier.training.labeller import LabellerOptions, fit_labeller
from peakatlas.classifier.trust.advice import WIDE_GAP
from peakatlas.classifier.trust.held_out import batch_scores, held_out_scores
from peakatlas.classifier.trust.verdicts import type_verdicts
from peakatlas.engine.errors import CountsError
from peakatlas.engine.run.progress import counter, logged

from .query import LEAST_SHARED
from .reference_terms import with_lineages, with_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from peakatlas.atlas.atlas import Atlas
    from peakatlas.classifier.counts.levels import Levels
    from peakatlas.classifier.counts.references import LabelledCells, Reference
    from peakatlas.classifier.models.protocol import DnaInput
    from peakatlas.classifier.naming.peak_terms import PeakTerms
    from peakatlas.classifier.ontology.mapping import OntologyMapping


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a classifier is trained."""

    method: Method = "default"
    """``default``: all members, weighed on pseudo-queries; ``network``: the alignment network
    alone."""
    max_cells: int = 20_000
    """Reference cells that a bundle keeps, at most."""
    ontology: bool = False
    """Whether labels are mapped to terms of the Cell Ontology, and joined where they name one."""
    label_terms: Mapping[str, str] = field(default_factory=dict)
    """Ids of labels that names and synonyms do not give, such as ``{"Mono": "CL:0000576"}``."""
    lineages: bool = False
    """Whether a level of lineages, found by the ontology, stands above the types."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}")
        if self.max_cells < 100:
            raise ValueError(f"max_cells must be 100 or more, not {self.max_cells}")
        if (self.label_terms or self.lineages) and not self.ontology:
            raise ValueError("label_terms and lineages need ontology=True")


def train(  # noqa: PLR0913 - options are keyword-only
    reference: Reference | Sequence[Reference],
    labels_key: str | Sequence[str],
    atlas: Atlas | None = None,
    *,
    batch_key: str | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    mod: str | None = None,
    sources: Sources | None = None,
    terms: PeakTerms | None = None,
    options: TrainOptions | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Bundle:
    """Make a classifier of labelled reference cells.

    A bundle keeps the reference: up to 20,000 of its cells, types and batches in proportion with
    rare types held up. The labeller is fitted to each query when it is annotated; here it is
    fitted to the reference as if that were a query, which says how well held-out cells are
    labelled (whole batches are held out, where there are several). The same input and seed give
    the same bundle, bit for bit, on the same machine.

    References may have different peaks and file formats: their counts are carried to the peaks of
    the first and those that it lacks. Each reference is a batch, unless `batch_key` names a
    column; with both, so is each value in each reference. Cells without counts are left out.

    Parameters
    ----------
    reference : path of a count matrix, AnnData or MuData; or several of them
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
    mod : str, optional
        Modality of a MuData (h5mu) with the peaks, if it is not called like ``atac`` or ``peaks``.
    sources : Sources, optional
        Genome and model for peaks that miss the atlas.
    terms : PeakTerms, optional
        Annotated elements whose terms describe peaks, in the place of an atlas: queries may then
        have other peaks, also of another genome build.
    options : TrainOptions, optional
    seed : int
    progress : callable, optional
        Called with a few words as each step begins.

    Raises
    ------
    CountsError, IntervalError
        If a reference cannot be used.
    ValueError
        If both an atlas and terms are given.
    LabelsError
        If labels are absent, too few, not nested, or called like peakatlas's own; a reference
        lacks a column; or an id of `TrainOptions.label_terms` cannot be used.

    Examples
    --------
    >>> import peakatlas
    >>> bundle = peakatlas.train("reference.h5ad", "cell_type")  # no atlas: DNA is not read
    >>> bundle.types
    ('B', 'NK', 'T', 'dendritic', 'monocyte', 'progenitor')
    >>> bundle.save("plain-bundle")
    """
    options, say = options or TrainOptions(), logged(progress)
    sources = sources or Sources()
    if terms is not None and atlas is not None:
        raise ValueError("peaks are described by an atlas or by terms of elements, not by both")
    columns = [labels_key] if isinstance(labels_key, str) else list(labels_key)
    say("reading the reference")
    parts = read_references(reference, columns, batch_key, layer, use_raw, mod)
    parts, named, mapping = _in_terms(parts, columns, options)
    labelled = LabelledSet.of(parts, named)
    for note in [*_notes(labelled), *(mapping.describe() if mapping else [])]:
        say(note)
    rows = labelled.sample(options.max_cells, seed)
    joined = join(labelled, labelled.named(sources, atlas), rows)
    say("looking up its peaks")
    found = resolve(joined.peaks, atlas, sources, counter(progress))
    say(f"peaks: {found.describe(joined.peaks)}")
    _check_peaks(labelled, joined)
    dna = own_dna(joined.matrix, found.values)
    if terms is not None:
        vectors = terms.vectors(joined.peaks, terms.terms)
        say(f"{_with_terms(vectors):,} peaks have terms of {terms.source}")
        dna = own_dna(joined.matrix, vectors, "terms")
    cells = _cells(labelled, joined, dna, rows)
    say("labelling held-out cells")
    held_out = _held_out(cells, labelled.levels, options, seed)
    bundle = Bundle(
        levels=labelled.levels,
        peaks=joined.peaks,
        reference=cells,
        spec=None if atlas is None else atlas.spec,
        method=options.method,
        held_out=held_out,
        ontology=mapping,
        elements=None
        if terms is None
        else ElementsDocument(source=terms.source, build=terms.build, terms=list(terms.terms)),
        provenance={
            **_provenance(labelled, joined, columns, batch_key),
            "tiers": found.tiers(),
            "options": asdict(options),
            "read": {
                "layer": layer,
                "use_raw": use_raw,
                "mod": mod,
                **_source_options(sources),
                **({} if terms is None else terms.options),
            },
            "seed": seed,
        },
    )
    for text in calibration_warnings(held_out):
        say(f"warning: {text}")
    return bundle


def _source_options(sources: Sources) -> dict[str, Any]:
    """Options of the look-up as JSON types; a genome in memory has no name."""
    genome = sources.genome
    return {
        "genome": str(genome) if isinstance(genome, str | Path) else None,
        "chain": str(sources.chain) if isinstance(sources.chain, str | Path) else None,
        "max_offset": sources.max_offset,
        "match_contigs": sources.match_contigs,
    }


def calibration_warnings(held_out: dict[str, Any]) -> list[str]:
    """A warning where the confidence of held-out cells is off, else none.

    Parameters
    ----------
    held_out : dict
        `Bundle.held_out`.
    """
    gap = held_out["ece"]
    if gap <= WIDE_GAP:
        return []
    return [
        f"The confidence of held-out reference cells is off by {gap:.2f} in the mean. Read it as "
        "an order, not as a probability, or train with more cells of the rare types."
    ]


def _in_terms(
    parts: tuple[LabelledCells, ...], columns: list[str], options: TrainOptions
) -> tuple[tuple[LabelledCells, ...], list[str], OntologyMapping | None]:
    """References, their label columns, and what the ontology says of the labels, if asked."""
    if not options.ontology:
        return parts, columns, None
    parts, mapping = with_terms(parts, options.label_terms)
    return with_lineages(parts, columns, mapping) if options.lineages else (parts, columns, mapping)


def _notes(labelled: LabelledSet) -> list[str]:
    """What was left out or changed in reading, by reference."""
    found = []
    for part in labelled.parts:
        if part.empty:
            found.append(f"{part.counts.source}: {part.empty:,} cells without counts left out")
        if part.stripped:
            found.append(f"{part.counts.source}: blanks taken off {part.stripped:,} labels")
    return found


def _check_peaks(labelled: LabelledSet, joined: JoinedCounts) -> None:
    opened = len(np.unique(joined.matrix.indices))
    if opened < LEAST_SHARED:
        raise CountsError(
            f"{labelled.parts[0].counts.source}: cells have counts in {opened} peak alone, which "
            "tells no type from another. Give counts of all peaks."
        )


def _cells(
    labelled: LabelledSet, joined: JoinedCounts, dna: DnaInput | None, rows: NDArray[np.int64]
) -> Cells:
    return Cells(
        counts=joined.matrix,
        measured=joined.measured,
        labels=np.asarray(labelled.levels.finest)[labelled.types[rows]],
        batches=np.asarray(labelled.batch_names)[labelled.batches[rows]],
        dna=dna,
    )


def _with_terms(vectors: NDArray[np.float32]) -> int:
    return int(np.isfinite(vectors[:, 0]).sum())


def _held_out(cells: Cells, levels: Levels, options: TrainOptions, seed: int) -> dict[str, Any]:
    """Scores of held-out cells, and what the labeller says of itself."""
    members = METHODS[options.method]
    query = replace(cells, labels=None, batches=None)
    fitted = fit_labeller(cells, query, options=LabellerOptions(members=members, seed=seed))
    held = fitted.held_out
    scores = held_out_scores(levels, held.codes, held.best, held.confidence)
    if cells.batches is not None and len(np.unique(cells.batches)) > 1:
        scores["by_batch"] = batch_scores(held.codes, held.best, cells.batches[held.rows])
    verdicts = type_verdicts(np.asarray(levels.finest), held.codes, held.best, held.confidence)
    scores["verdicts"] = [verdict.to_json() for verdict in verdicts]
    return {**fitted.diagnostics, **scores, "ece": scores["reliability"]["ece"]}


def _provenance(
    labelled: LabelledSet, joined: JoinedCounts, columns: Sequence[str], batch_key: str | None
) -> dict[str, Any]:
    names, types = labelled.levels.finest, labelled.types
    return {
        "peakatlas": versions(),
        "reference": ", ".join(part.counts.source for part in labelled.parts),
        "references": labelled.record(),
        "labels_key": ",".join(columns),
        "batch_key": batch_key,
        "cells": labelled.n_cells,
        "kept_cells": joined.matrix.shape[0],
        "empty_cells": sum(part.empty for part in labelled.parts),
        "peaks": len(joined.peaks),
        "cells_by_type": dict(zip(names, np.bincount(types).tolist(), strict=True)),
        "cells_by_batch": labelled.cells_by_batch(),
        "median_depth": float(np.median(labelled.depth)),
    }
