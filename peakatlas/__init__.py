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
    from . import pl as pl
    from . import tl as tl
    from .atlas.build import build_atlas
    from .atlas.lookup import LookupResult
    from .atlas.reader import Atlas
    from .classifier.annotate import annotate
    from .classifier.bundle import Bundle
    from .classifier.counts import read_counts
    from .classifier.explain_dna import enriched_kmers
    from .classifier.explain_elements import marker_elements
    from .classifier.report import write_report
    from .classifier.train import train
    from .engine.embedder import Embedder
    from .engine.errors import PeakAtlasError
    from .engine.genome import open_genome
    from .engine.interval_readers import parse_names, read_bed
    from .engine.intervals import Intervals

__version__ = "0.1.0"

__all__ = [
    "Atlas",
    "Bundle",
    "Embedder",
    "Intervals",
    "LookupResult",
    "PeakAtlasError",
    "annotate",
    "build_atlas",
    "enriched_kmers",
    "marker_elements",
    "open_genome",
    "parse_names",
    "read_bed",
    "read_counts",
    "train",
    "write_report",
]

_MODULE_OF = {
    "Atlas": ".atlas.reader",
    "Bundle": ".classifier.bundle",
    "Embedder": ".engine.embedder",
    "Intervals": ".engine.intervals",
    "LookupResult": ".atlas.lookup",
    "PeakAtlasError": ".engine.errors",
    "annotate": ".classifier.annotate",
    "build_atlas": ".atlas.build",
    "enriched_kmers": ".classifier.explain_dna",
    "marker_elements": ".classifier.explain_elements",
    "open_genome": ".engine.genome",
    "parse_names": ".engine.interval_readers",
    "read_bed": ".engine.interval_readers",
    "read_counts": ".classifier.counts",
    "train": ".classifier.train",
    "write_report": ".classifier.report",
}
_MODULES = ("pl", "tl")
"""Modules that are loaded when first used; `pl` needs matplotlib."""


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'peakatlas' has no attribute {name!r}")
    value: object = getattr(import_module(_MODULE_OF[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
