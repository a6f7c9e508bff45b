"""Sequences and models: from intervals and a genome to one vector a peak.

The names below are imported on first use, so that reading intervals or a genome never loads torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peakatlas.engine.dna.genome import Genome, PeakFasta, SequenceSource, open_genome
    from peakatlas.engine.dna.sequences import Sequences
    from peakatlas.engine.dna.windows import WindowRule, Windows, parse_window, window_digests
    from peakatlas.engine.intervals.contig_names import match_contigs
    from peakatlas.engine.intervals.readers import intervals_from_frame, parse_names, read_bed
    from peakatlas.engine.intervals.table import Intervals
    from peakatlas.engine.models.table import MODELS, ModelCard
    from peakatlas.engine.run.distributed import (
        Partition,
        RankState,
        owned_units,
        parse_partition,
        rank_state,
    )

    from .embedder import Embedder
    from .embeddings import PeakEmbeddings
    from .spec import EmbeddingSpec

_MODULE_OF = {
    "MODELS": "models.table",
    "Embedder": "embedder",
    "EmbeddingSpec": "spec",
    "Genome": "dna.genome",
    "Intervals": "intervals.table",
    "ModelCard": "models.table",
    "Partition": "run.distributed",
    "PeakEmbeddings": "embeddings",
    "PeakFasta": "dna.genome",
    "RankState": "run.distributed",
    "SequenceSource": "dna.genome",
    "Sequences": "dna.sequences",
    "WindowRule": "dna.windows",
    "Windows": "dna.windows",
    "intervals_from_frame": "intervals.readers",
    "match_contigs": "intervals.contig_names",
    "open_genome": "dna.genome",
    "owned_units": "run.distributed",
    "parse_names": "intervals.readers",
    "parse_partition": "run.distributed",
    "parse_window": "dna.windows",
    "rank_state": "run.distributed",
    "read_bed": "intervals.readers",
    "window_digests": "dna.windows",
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
