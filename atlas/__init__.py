"""Embeddings of genomic intervals on disk: build, read, look up.

The names below are loaded when first used. Reading an atlas and looking peaks up never import
torch; what embeds peaks does.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peakatlas.atlas.build.append import append_peaks
    from peakatlas.atlas.build.cluster import finalise_atlas, init_atlas, write_shards
    from peakatlas.atlas.build.inputs import PeakList
    from peakatlas.atlas.build.local import build_atlas, build_partition
    from peakatlas.atlas.build.lookup_or_embed import ResolvedPeaks, resolve_peaks
    from peakatlas.atlas.build.writer import AtlasWriter
    from peakatlas.atlas.check.faults import VerifyReport
    from peakatlas.atlas.check.repair import repair_atlas
    from peakatlas.atlas.check.verify import verify_atlas
    from peakatlas.atlas.derive.compact import compact_atlas
    from peakatlas.atlas.derive.merge import merge_atlases
    from peakatlas.atlas.derive.quantise import Quantised, quantise_atlas
    from peakatlas.atlas.derive.subset import subset_atlas
    from peakatlas.atlas.mirror import mirror_atlas
    from peakatlas.atlas.search.faiss_coordinates import FaissCoordinateIndex
    from peakatlas.atlas.search.lookup import RECOMMENDED_MAX_OFFSET, TIERS, LookupResult
    from peakatlas.atlas.search.overlap_mean import OverlapMean
    from peakatlas.engine.intervals.overlap import OverlapIndex, OverlapPairs

    from .atlas import Atlas
    from .publish import Published, publish_atlas

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
    "Published",
    "Quantised",
    "ResolvedPeaks",
    "VerifyReport",
    "append_peaks",
    "build_atlas",
    "build_partition",
    "compact_atlas",
    "finalise_atlas",
    "init_atlas",
    "merge_atlases",
    "mirror_atlas",
    "publish_atlas",
    "quantise_atlas",
    "repair_atlas",
    "resolve_peaks",
    "subset_atlas",
    "verify_atlas",
    "write_shards",
]

_MODULE_OF = {
    "RECOMMENDED_MAX_OFFSET": ".search.lookup",
    "TIERS": ".search.lookup",
    "Atlas": ".atlas",
    "AtlasWriter": ".build.writer",
    "FaissCoordinateIndex": ".search.faiss_coordinates",
    "LookupResult": ".search.lookup",
    "OverlapIndex": "peakatlas.engine.intervals.overlap",
    "OverlapMean": ".search.overlap_mean",
    "OverlapPairs": "peakatlas.engine.intervals.overlap",
    "PeakList": ".build.inputs",
    "Published": ".publish",
    "Quantised": ".derive.quantise",
    "ResolvedPeaks": ".build.lookup_or_embed",
    "VerifyReport": ".check.faults",
    "append_peaks": ".build.append",
    "build_atlas": ".build.local",
    "build_partition": ".build.local",
    "compact_atlas": ".derive.compact",
    "finalise_atlas": ".build.cluster",
    "init_atlas": ".build.cluster",
    "merge_atlases": ".derive.merge",
    "mirror_atlas": ".mirror",
    "publish_atlas": ".publish",
    "quantise_atlas": ".derive.quantise",
    "repair_atlas": ".check.repair",
    "resolve_peaks": ".build.lookup_or_embed",
    "subset_atlas": ".derive.subset",
    "verify_atlas": ".check.verify",
    "write_shards": ".build.cluster",
}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULE_OF[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
