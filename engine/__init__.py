"""Sequences and models: from intervals and a genome to one vector a peak.

The names below are imported on first use, so that reading intervals or a genome never loads torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contig_names import match_contigs
    from .distributed import Partition, RankState, owned_units, parse_partition, rank_state
    from .embedder import Embedder
    from .embeddings import PeakEmbeddings
    from .genome import Genome, PeakFasta, SequenceSource, open_genome
    from .interval_readers import intervals_from_frame, parse_names, read_bed
    from .intervals import Intervals
    from .models.table import MODELS, ModelCard
    from .sequences import Sequences
    from .spec import EmbeddingSpec
    from .windows import WindowRule, Windows, parse_window, window_digests

_MODULE_OF = {
    "MODELS": "models.table",
    "Embedder": "embedder",
    "EmbeddingSpec": "spec",
    "Genome": "genome",
    "Intervals": "intervals",
    "ModelCard": "models.table",
    "Partition": "distributed",
    "PeakEmbeddings": "embeddings",
    "PeakFasta": "genome",
    "RankState": "distributed",
    "SequenceSource": "genome",
    "Sequences": "sequences",
    "WindowRule": "windows",
    "Windows": "windows",
    "intervals_from_frame": "interval_readers",
    "match_contigs": "contig_names",
    "open_genome": "genome",
    "owned_units": "distributed",
    "parse_names": "interval_readers",
    "parse_partition": "distributed",
    "parse_window": "windows",
    "rank_state": "distributed",
    "read_bed": "interval_readers",
    "window_digests": "windows",
}

__all__ = [
    "MODELS",
    "Embedder",
    "EmbeddingSpec",
    "Genome",
    "Intervals",
    "ModelCard",
    "Partition",
    "PeakEmbeddings",
    "PeakFasta",
    "RankState",
    "SequenceSource",
    "Sequences",
    "WindowRule",
    "Windows",
    "intervals_from_frame",
    "match_contigs",
    "open_genome",
    "owned_units",
    "parse_names",
    "parse_partition",
    "parse_window",
    "rank_state",
    "read_bed",
    "window_digests",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
