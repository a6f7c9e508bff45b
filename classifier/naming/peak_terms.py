"""Terms of peaks: annotated elements, looked up at the peaks' places on the elements' build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.classifier.models.terms import term_vectors
from peakatlas.engine.errors import CountsError, LabelsError
from peakatlas.engine.intervals.contig_names import match_contigs
from peakatlas.engine.intervals.liftover import ChainFile

from .element_files import AnnotatedElements, read_elements, read_remo

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from peakatlas.engine.intervals.table import Intervals

REMO = "remo"
"""What stands for REMO v1 where a table is asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PeakTerms:
    """Annotated elements, and how peaks of one build come to them. Use `open`.

    Examples
    --------
    >>> from pathlib import Path
    >>> import peakatlas
    >>> elements = Path("elements.tsv")
    >>> _ = elements.write_text("chr1\\t100\\t600\\tCL:0000236\\nchr1\\t900\\t1200\\tCL:0000084\\n")
    >>> terms = PeakTerms.open("hg38", elements)
    >>> terms.terms
    ('CL:0000084', 'CL:0000236')
    >>> terms.of(peakatlas.Intervals.from_columns(["chr1"], [200], [700])).toarray()
    array([[0., 1.]], dtype=float32)
    """

    annotated: AnnotatedElements
    build: str
    """Genome build of the peaks."""
    chain: str | Path | None = None
    """UCSC chain file from it to that of the elements."""
    given: str = REMO
    """Path of the elements, for a command line."""

    def __post_init__(self) -> None:
        table = self.annotated.table
        if self.chain is None and self.build != table.build:
            raise CountsError(
                f"the peaks are of {self.build}, {table.source} is of {table.build}. Give a chain "
                f"file from {self.build} to {table.build}, such as "
                f"{self.build}To{table.build.capitalize()}.over.chain.gz."
            )

    @classmethod
    def open(
        cls,
        build: str,
        elements: str | Path | AnnotatedElements | None = None,
        chain: str | Path | None = None,
    ) -> PeakTerms:
        """Read annotated elements.

        Parameters
        ----------
        build : str
            Genome build of the peaks.
        elements : path or AnnotatedElements, optional
            Table of chrom, start, end and Cell Ontology ids, of the peaks' build unless there is a
            chain; "remo", or nothing, for REMO v1 (hg38).
        chain : path, optional

        Raises
        ------
        CountsError, IntervalError, LabelsError, MissingDependencyError
            If the elements cannot be read, or are of another build and there is no chain.
        """
        if isinstance(elements, AnnotatedElements):
            return cls(annotated=elements, build=build, chain=chain, given=elements.table.source)
        if elements is None or str(elements) == REMO:
            return cls(annotated=read_remo(), build=build, chain=chain)
        found = read_elements(Path(elements), build)
        return cls(annotated=found, build=build, chain=chain, given=str(elements))

    @property
    def options(self) -> dict[str, str | None]:
        """How they were asked for, as options of the command line."""
        chain = None if self.chain is None else str(self.chain)
        return {"elements": self.given, "build": self.build, "elements_chain": chain}

    @property
    def source(self) -> str:
        """Name of the elements."""
        return self.annotated.table.source

    @property
    def terms(self) -> tuple[str, ...]:
        """Ids of all terms."""
        return tuple(self.annotated.table.terms)

    def of(self, peaks: Intervals) -> sp.csr_matrix:
        """Terms of each peak, binary; one that cannot be lifted is on no contig and has none."""
        table = self.annotated.table
        if self.chain is not None:
            peaks = ChainFile(self.chain).lift(peaks).intervals
        return table.terms_of(match_contigs(peaks, table.intervals.contigs))

    def vectors(self, peaks: Intervals, terms: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of peaks by these terms, shape (n_peaks, n_terms); NaN for peaks without one.

        Raises
        ------
        LabelsError
            If the elements lack a term.
        """
        place = {term: number for number, term in enumerate(self.terms)}
        absent = [term for term in terms if term not in place]
        if absent:
            raise LabelsError(
                f"{self.source} lacks {len(absent)} of the terms that the bundle was trained with, "
                f"such as {absent[0]}. Give the elements that it was trained with."
            )
        return term_vectors(self.of(peaks)[:, [place[term] for term in terms]])
