"""Embeddings of genomic intervals on disk: build, read, look up.

The names below are loaded when first used. Reading an atlas and looking peaks up never import
torch; what embeds peaks does.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .append import append_peaks
    from .build import build_atlas, build_partition
    from .cluster import finalise_atlas, init_atlas, write_shards
    from .faiss_index import FaissCoordinateIndex
    from .faults import VerifyReport
    from .inputs import PeakList
    from .lookup import RECOMMENDED_MAX_OFFSET, TIERS, LookupResult
    from .merge import merge_atlases
    from .mirror import mirror_atlas
    from .overlap import OverlapIndex, OverlapPairs
    from .quantise import Quantised, quantise_atlas
    from .reader import Atlas
    from .reduce import OverlapMean
    from .repair import repair_atlas
    from .resolve import ResolvedPeaks, resolve_peaks
    from .subset import subset_atlas
    from .verify import verify_atlas
    from .writer import AtlasWriter

__all__ = [
    "RECOMMENDED_MAX_OFFSET",
    "TIERS",
    "Atlas",
    "AtlasWriter",
    "FaissCoordinateIndex",
    "LookupResult",
    "OverlapIndex",
    "OverlapMean",
    "OverlapPairs",
    "PeakList",
    "Quantised",
    "ResolvedPeaks",
    "VerifyReport",
    "append_peaks",
    "build_atlas",
    "build_partition",
    "finalise_atlas",
    "init_atlas",
    "merge_atlases",
    "mirror_atlas",
    "quantise_atlas",
    "repair_atlas",
    "resolve_peaks",
    "subset_atlas",
    "verify_atlas",
    "write_shards",
]

_MODULE_OF = {
    "RECOMMENDED_MAX_OFFSET": ".lookup",
    "TIERS": ".lookup",
    "Atlas": ".reader",
    "AtlasWriter": ".writer",
    "FaissCoordinateIndex": ".faiss_index",
    "LookupResult": ".lookup",
    "OverlapIndex": ".overlap",
    "OverlapMean": ".reduce",
    "OverlapPairs": ".overlap",
    "PeakList": ".inputs",
    "Quantised": ".quantise",
    "ResolvedPeaks": ".resolve",
    "VerifyReport": ".faults",
    "append_peaks": ".append",
    "build_atlas": ".build",
    "build_partition": ".build",
    "finalise_atlas": ".cluster",
    "init_atlas": ".cluster",
    "merge_atlases": ".merge",
    "mirror_atlas": ".mirror",
    "quantise_atlas": ".quantise",
    "repair_atlas": ".repair",
    "resolve_peaks": ".resolve",
    "subset_atlas": ".subset",
    "verify_atlas": ".verify",
    "write_shards": ".cluster",
}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULE_OF[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
