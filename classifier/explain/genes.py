"""The gene that lies nearest to a peak, by where transcription starts."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.contig_names import match_contigs
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.intervals.text_files import not_readable, read_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAGIC = b"\x1f\x8b"
_ATTRIBUTE = re.compile(r'(\w+)[ =]"?([^";]+)')
_NAMES = ("gene_name", "Name", "gene", "gene_id", "ID")
"""Attributes of a GTF or GFF3 that name a gene, the best first."""
_GENE = ("gene", "ncRNA_gene", "pseudogene")
"""Features of a GFF3 that are genes."""
_BED_FIELDS = 4
_GTF_FIELDS = 9


def read_genes(path: str | Path) -> pd.DataFrame:
    """Read genes from a GTF, GFF3 or BED file, plain or gzip, line by line.

    Parameters
    ----------
    path : str or Path
        A BED has the gene's name in its fourth column and the strand, if any, in its sixth.

    Returns
    -------
    pandas.DataFrame
        ``chrom, tss`` (0-based position in bp at which transcription starts), ``gene``; one row a
        gene.

    Raises
    ------
    IntervalError
        If the file cannot be read, or holds no gene.
    """
    source = Path(path)
    if fault := not_readable(source):
        raise IntervalError(fault)
    try:
        rows = list(_genes(_lines(source), source.name))
    except (EOFError, OSError, zlib.error, UnicodeDecodeError) as error:
        raise IntervalError(f"{source.name}: {read_fault(error)}") from error
    if not rows:
        raise IntervalError(
            f"{source.name} holds no gene. Give a GTF or GFF3 with features called gene, or a BED "
            "with their names in the fourth column."
        )
    return pd.DataFrame(rows, columns=["chrom", "tss", "gene"])


def nearest_genes(peaks: pd.DataFrame, genes: pd.DataFrame) -> pd.DataFrame:
    """The gene whose start of transcription lies nearest to the centre of each peak.

    Contigs are matched by naming style (``chr1``, ``1``).

    Parameters
    ----------
    peaks : DataFrame
        ``chrom, start, end``.
    genes : DataFrame
        From `read_genes`.

    Returns
    -------
    pandas.DataFrame
        ``gene`` (empty where the contig has none) and ``tss_distance`` (bp from the centre to the
        start of transcription; NaN where there is none), in the rows of `peaks`.

    Examples
    --------
    >>> peaks = pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [100, 5], "end": [200, 9]})
    >>> genes = pd.DataFrame({"chrom": ["1", "1"], "tss": [10, 190], "gene": ["A", "B"]})
    >>> nearest_genes(peaks, genes)["gene"].tolist()
    ['B', '']
    """
    named = Intervals.from_columns(
        peaks["chrom"].astype(str).tolist(), peaks["start"].tolist(), peaks["end"].tolist()
    )
    named = match_contigs(named, genes["chrom"].unique().tolist())
    centre = (named.start + named.end) // 2
    chrom = np.asarray(named.contigs, dtype=object)[named.contig_ids]
    asked = pd.DataFrame({"chrom": chrom, "tss": centre, "row": np.arange(len(peaks))})
    known = genes.assign(at=genes["tss"]).sort_values("tss", kind="stable")
    found = pd.merge_asof(
        asked.sort_values("tss", kind="stable"), known, on="tss", by="chrom", direction="nearest"
    ).sort_values("row")
    return pd.DataFrame(
        {
            "gene": found["gene"].fillna("").to_numpy(),
            "tss_distance": (found["at"] - found["tss"]).abs().to_numpy(np.float64),
        },
        index=peaks.index,
    )


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as raw:
        packed = raw.read(2) == _MAGIC
    with gzip.open(path) if packed else path.open("rb") as data:
        yield from io.TextIOWrapper(data, encoding="utf-8")


def _genes(lines: Iterable[str], name: str) -> Iterator[tuple[str, int, str]]:
    """Contig, start of transcription and name of each gene."""
    for number, line in enumerate(lines, 1):
        fields = line.rstrip("\r\n").split("\t")
        if line.startswith(("#", "track", "browser")) or len(fields) < _BED_FIELDS:
            continue
        is_gtf = len(fields) == _GTF_FIELDS and not fields[1].isdigit()
        if is_gtf and fields[2] not in _GENE:
            continue
        try:
            yield _of_gtf(fields) if is_gtf else _of_bed(fields)
        except ValueError as error:
            raise IntervalError(
                f"{name} line {number}: {line.strip()[:80]!r} is no gene. Give a GTF, GFF3 or BED."
            ) from error


def _of_gtf(fields: list[str]) -> tuple[str, int, str]:
    first, last = int(fields[3]) - 1, int(fields[4]) - 1
    found = dict(_ATTRIBUTE.findall(fields[8]))
    gene = next((found[key] for key in _NAMES if key in found), "")
    if first < 0 or last < first or not gene:
        raise ValueError
    return fields[0], last if fields[6] == "-" else first, gene


def _of_bed(fields: list[str]) -> tuple[str, int, str]:
    first, last = int(fields[1]), int(fields[2]) - 1
    if first < 0 or last < first or not fields[3]:
        raise ValueError
    reverse = len(fields) > 5 and fields[5] == "-"
    return fields[0], last if reverse else first, fields[3]
