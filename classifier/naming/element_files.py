"""Annotations of elements as people have them: REMO from its package, or a BED file with terms."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import scipy.sparse as sp

from peakatlas.atlas.search.terms import ElementTable
from peakatlas.atlas.storage.cache import is_kept, keep
from peakatlas.classifier.ontology.cell_ontology import cell_ontology
from peakatlas.engine.dna.fasta import cache_folder
from peakatlas.engine.errors import IntervalError, LabelsError, MissingDependencyError
from peakatlas.engine.intervals.readers import intervals_from_frame
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.intervals.text_files import read_lines

_REMO = "remopy"
_LAYOUT = 1
"""Of the file in the cache."""
_LEFT_OUT = ("#", "track", "browser")
_HEADER_WORDS = ("start", "chromstart")


class AnnotatedElements(NamedTuple):
    """Elements with their terms, and which terms occur in which tissue."""

    table: ElementTable
    tissues: Mapping[str, tuple[str, ...]]
    """Ids of the terms of each tissue; empty where the source names no tissues."""

    def terms_in(self, tissue: str | None) -> list[str]:
        """Ids of the narrowest terms of a tissue, or of all.

        Raises
        ------
        LabelsError
            If the source does not know the tissue.
        """
        if tissue is None:
            return cell_ontology().leaves(self.table.terms)
        known = {name.casefold(): terms for name, terms in self.tissues.items()}
        if tissue.casefold() not in known:
            named = ", ".join(sorted(self.tissues)) or "none"
            raise LabelsError(f"tissue {tissue!r} is not in {self.table.source}. It has: {named}.")
        return cell_ontology().leaves(known[tissue.casefold()])


def read_remo() -> AnnotatedElements:
    """REMO v1 as the package remopy holds it; its code is not run.

    Raises
    ------
    MissingDependencyError
        If remopy is not installed.

    References
    ----------
    Regulatory element modules of the human genome, REMO v1, PyPI ``remopy`` (Artistic-2.0).
    """
    spec = find_spec(_REMO)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            "cells are named by the elements of REMO, which come with the package remopy. "
            "Install it: pip install 'peakatlas[remo]', or give a table of your own with "
            "--elements."
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    cached = cache_folder() / f"remo-{_version()}-{_LAYOUT}.npz"
    if is_kept(cached):
        with suppress(OSError, ValueError, KeyError, BadZipFile):
            return _from_cache(cached)
    annotated = _parse_remo(folder)
    keep(cached, lambda aside: _save(aside, annotated))
    return annotated


def _parse_remo(folder: Path) -> AnnotatedElements:
    bed = pd.read_csv(
        folder / "REMOv1_GRCh38.bed.gz",
        sep="\t",
        names=["chrom", "start", "end", "module"],
    )
    by_id = json.loads((folder / "cl_ids.json").read_text("utf-8"))
    terms = tuple(sorted(by_id))
    modules = _numbers(bed["module"])
    members = [_numbers(by_id[term]) for term in terms]
    module_terms = _membership(members, 1 + max(map(int, (modules.max(), *map(np.max, members)))))
    table = ElementTable(
        intervals=intervals_from_frame(bed[["chrom", "start", "end"]].astype({"chrom": str})),
        terms=terms,
        carries=sp.csr_matrix(module_terms[modules]),
        source=_remo_source(),
        build="hg38",
    )
    tissues = json.loads((folder / "tissues.json").read_text("utf-8"))
    names = _ids_of_names(json.loads((folder / "terms.json").read_text("utf-8")), by_id)
    in_tissue = {
        tissue: tuple(names[name] for name in listed if name in names)
        for tissue, listed in tissues.items()
    }
    return AnnotatedElements(table, {k: v for k, v in in_tissue.items() if v})


def _save(path: Path, annotated: AnnotatedElements) -> None:
    table = annotated.table
    with path.open("wb") as file:
        np.savez(
            file,
            contigs=np.array(table.intervals.contigs),
            contig_ids=table.intervals.contig_ids,
            start=table.intervals.start,
            end=table.intervals.end,
            terms=np.array(table.terms),
            column=table.carries.indices.astype(np.uint8),
            first=table.carries.indptr,
            tissues=np.array(json.dumps({k: list(v) for k, v in annotated.tissues.items()})),
        )


def _from_cache(path: Path) -> AnnotatedElements:
    with np.load(path, allow_pickle=False) as held:
        intervals = Intervals(
            tuple(map(str, held["contigs"])), held["contig_ids"], held["start"], held["end"]
        )
        terms, column = tuple(map(str, held["terms"])), held["column"].astype(np.int32)
        ones = np.ones(len(column), np.float32)
        carries = sp.csr_matrix((ones, column, held["first"]), (len(intervals), len(terms)))
        tissues = json.loads(str(held["tissues"]))
    table = ElementTable(
        intervals=intervals, terms=terms, carries=carries, source=_remo_source(), build="hg38"
    )
    return AnnotatedElements(table, {name: tuple(ids) for name, ids in tissues.items()})


def _remo_source() -> str:
    return f"REMO v1 (remopy {_version()}, Artistic-2.0)"


def read_elements(path: Path, build: str) -> AnnotatedElements:
    """A table of one's own: chrom, start, end and term ids, separated by tabs.

    Plain or gzip, told by content. Commas or semicolons stand between ids; empty lines, those that
    start with ``#`` or ``track`` and a header (``start`` in its second column) are left out.

    Raises
    ------
    IntervalError
        If the file is absent, damaged or empty, or a line lacks a column or is no interval.
    LabelsError
        If a term is not in the Cell Ontology.
    """
    rows: list[tuple[str, str, str, tuple[str, ...]]] = []
    for number, line in enumerate(read_lines(path, "a table of elements"), 1):
        if not line.strip() or line.startswith(_LEFT_OUT):
            continue
        parts = [part.strip() for part in line.split("\t")]
        if not rows and len(parts) > 1 and parts[1].lower() in _HEADER_WORDS:
            continue
        if len(parts) < 4:
            raise IntervalError(
                f"{path} line {number}: {line.strip()[:80]!r} has {len(parts)} columns. "
                "Lines are chrom, start, end and term ids with commas, separated by tabs."
            )
        chrom, start, end = parts[:3]
        rows.append((chrom, start, end, tuple(re.findall(r"[^,;\s]+", parts[3]))))
    if not rows:
        raise IntervalError(f"{path}: no elements in the file. It is empty or all comments.")
    frame = pd.DataFrame(rows, columns=["chrom", "start", "end", "terms"])
    terms = tuple(sorted({term for row in frame["terms"] for term in row}))
    for term in terms:
        cell_ontology().label(term)
    place = {term: number for number, term in enumerate(terms)}
    carries = sp.lil_matrix((len(frame), len(terms)), dtype=np.float32)
    for row, held in enumerate(frame["terms"]):
        carries[row, [place[term] for term in held]] = 1
    intervals = intervals_from_frame(frame[["chrom", "start", "end"]], path.name)
    table = ElementTable(
        intervals=intervals, terms=terms, carries=carries.tocsr(), source=path.name, build=build
    )
    return AnnotatedElements(table, {})


def _numbers(modules: pd.Series | list[str]) -> np.ndarray:
    """Numbers of modules from names such as ``REMOv1.GRCh38-17``."""
    return pd.Series(modules, dtype=str).str.rpartition("-")[2].astype(np.int64).to_numpy()


def _membership(sets: list[np.ndarray], n: int) -> sp.csr_matrix:
    """Members × sets, float32 0 or 1, from the members, of n, of each set."""
    column = np.repeat(np.arange(len(sets)), [len(each) for each in sets])
    ones = np.ones(len(column), np.float32)
    return sp.csr_matrix((ones, (np.concatenate(sets), column)), shape=(n, len(sets)))


def _ids_of_names(by_name: dict[str, list[str]], by_id: dict[str, list[str]]) -> dict[str, str]:
    """Ids of the names of terms: the two files list the same modules for each."""
    ids = {frozenset(modules): term for term, modules in by_id.items()}
    return {name: ids[frozenset(modules)] for name, modules in by_name.items()}


def _version() -> str:
    try:
        return version(_REMO)
    except PackageNotFoundError:
        return "of unknown version"
