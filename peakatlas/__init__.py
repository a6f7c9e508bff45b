"""Embed chromatin peaks once with a nucleotide language model, annotate cells by lookup.

The names below are loaded when first used, so ``import peakatlas`` costs nothing and reading an
atlas never imports a model.

Examples
--------
>>> import peakatlas
>>> peaks = peakatlas.parse_names(["chr1:100-600", "chr2:5-25"])
>>> peaks.widths.tolist()
[500, 20]
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .atlas.atlas import Atlas
    from .atlas.build.local import build_atlas
    from .atlas.search.lookup import LookupResult
    from .classifier.annotate import annotate
    from .classifier.bundle.bundle import Bundle
    from .classifier.counts.matrix import read_counts
    from .classifier.explain.dna import enriched_kmers
    from .classifier.explain.elements import marker_elements
    from .classifier.name import name
    from .classifier.naming.peak_terms import PeakTerms
    from .classifier.report.page import write_report
    from .classifier.train import train
    from .engine.dna.genome import open_genome
    from .engine.embedder import Embedder
    from .engine.errors import PeakAtlasError
    from .engine.intervals.readers import parse_names, read_bed
    from .engine.intervals.table import Intervals
    from .notebook import pl as pl
    from .notebook import tl as tl

__version__ = "0.1.0"

__all__ = [
    "Atlas",
    "Bundle",
    "Embedder",
    "Intervals",
    "LookupResult",
    "PeakAtlasError",
    "PeakTerms",
    "annotate",
    "build_atlas",
    "enriched_kmers",
    "marker_elements",
    "name",
    "open_genome",
    "parse_names",
    "read_bed",
    "read_counts",
    "train",
    "write_report",
]

_MODULE_OF = {
    "Atlas": ".atlas.atlas",
    "Bundle": ".classifier.bundle.bundle",
    "Embedder": ".engine.embedder",
    "Intervals": ".engine.intervals.table",
    "LookupResult": ".atlas.search.lookup",
    "PeakAtlasError": ".engine.errors",
    "PeakTerms": ".classifier.naming.peak_terms",
    "annotate": ".classifier.annotate",
    "build_atlas": ".atlas.build.local",
    "enriched_kmers": ".classifier.explain.dna",
    "marker_elements": ".classifier.explain.elements",
    "name": ".classifier.name",
    "open_genome": ".engine.dna.genome",
    "parse_names": ".engine.intervals.readers",
    "read_bed": ".engine.intervals.readers",
    "read_counts": ".classifier.counts.matrix",
    "train": ".classifier.train",
    "write_report": ".classifier.report.page",
}
_MODULES = ("pl", "tl")
"""Modules that are loaded when first used; `pl` needs matplotlib."""


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f".notebook.{name}", __name__)
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'peakatlas' has no attribute {name!r}")
    value: object = getattr(import_module(_MODULE_OF[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
