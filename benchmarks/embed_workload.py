"""What the embedding benchmark runs on: model shapes, random weights and windows of real DNA."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import EsmConfig
from transformers.models.esm.modeling_esm import EsmLMHead

from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.models.esm_glu import EsmGluModel
from peakatlas.engine.tokens.kmer import KmerTokenizer, kmer_vocabulary

GENOME = "genome/GRCh37_chr20.fa.gz"
POOL = 1024  # windows that are sorted together, as the engine does
BP = (534, 1014)  # 90 to 170 tokens
CONTEXT = 2048


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Dimensions of a Nucleotide Transformer v2 model."""

    dim: int
    layers: int
    heads: int
    ffn: int
    windows: int
    """Windows that are timed."""
    rounds: int = 3


SHAPES = {
    "50m": Shape(dim=512, layers=12, heads=16, ffn=2048, windows=96),
    "500m": Shape(dim=1024, layers=29, heads=16, ffn=4096, windows=24),
    "tiny": Shape(dim=64, layers=2, heads=4, ffn=128, windows=12, rounds=1),
}


def make_model(shape: Shape) -> EsmGluModel:
    """Hugging Face model of this shape with random float32 weights, the same at each call."""
    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=len(kmer_vocabulary(6)),
        pad_token_id=1,
        mask_token_id=2,
        hidden_size=shape.dim,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.ffn,
        max_position_embeddings=CONTEXT + 2,
        position_embedding_type="rotary",
        token_dropout=False,
        emb_layer_norm_before=False,
        tie_word_embeddings=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return EsmGluModel(config).eval()


def make_head(model: EsmGluModel) -> torch.nn.Module:
    """Masked-LM head that the model card's recipe runs as well, with random float32 weights."""
    torch.manual_seed(1)
    return EsmLMHead(model.config).eval()


def flops(shape: Shape, lengths: NDArray[np.int64]) -> float:
    """Floating-point operations of the matrix products for sequences of these many tokens."""
    dense = 2 * (4 * shape.dim**2 + 3 * shape.dim * shape.ffn) * lengths.sum()
    attention = 4 * shape.dim * (lengths.astype(np.float64) ** 2).sum()
    return float(shape.layers * (dense + attention))


def sample_peaks(n: int, contig_bp: int, contig: str, seed: int = 0) -> Intervals:
    """Intervals of 534 to 1014 bp at random places of the second quarter of a contig."""
    rng = np.random.default_rng(seed)
    start = np.sort(rng.integers(contig_bp // 4, contig_bp // 2 - BP[1], n))
    width = rng.integers(BP[0], BP[1] + 1, n)
    return Intervals.from_columns([contig] * n, start, start + width)


def read_windows(data: Path, n: int) -> Sequences:
    """Windows of chromosome 20 without N, long to short; random DNA if there is no such file."""
    path = data / GENOME
    if path.exists():
        source = open_genome(path)
        contig, size = next(iter(source.contig_sizes.items()))
        dna = source.fetch(sample_peaks(2 * n, size, contig))
        dna = dna.take(np.flatnonzero(dna.n_fraction() == 0)[:n])
    else:
        rng = np.random.default_rng(0)
        lengths = rng.integers(BP[0], BP[1] + 1, n)
        dna = Sequences.from_lengths(
            rng.choice(np.frombuffer(b"ACGT", np.uint8), lengths.sum()), lengths
        )
    return dna.take(np.argsort(-dna.lengths, kind="stable"))


def timed_rows(n_windows: int, n_timed: int, runs: int = 3) -> NDArray[np.int64]:
    """Rows of a sorted pool: equal runs of neighbours, spread over its lengths.

    Neighbours, so that every subject pads and groups them as it would in the whole pool.
    """
    size = n_timed // runs
    firsts = np.linspace(0, n_windows - size, runs).astype(np.int64)
    return (firsts[:, None] + np.arange(size)).ravel()


def tokenizer() -> KmerTokenizer:
    """Six-mer tokenizer of the Nucleotide Transformer."""
    return KmerTokenizer(kmer_vocabulary(6))


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of the whole process for one call, in s."""
    started = time.process_time()
    work()
    return time.process_time() - started
