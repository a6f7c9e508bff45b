"""Figures of the engine that ``embed.py`` prints beside those of other engines."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from embed_workload import GENOME, SHAPES, cpu_seconds, make_model
from op_counts import OpCounts

from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.forward.cuda import CudaForward
from peakatlas.engine.forward.encoder import PackedEncoder
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.models.esm import build_encoder
from peakatlas.engine.throughput import RandomGenome

ROOT = Path(__file__).parents[1]
BEFORE = "b76924c"
"""The commit before the forward of a GPU had a file of its own."""


def host_windows_per_second(data: Path, *, quick: bool) -> float:
    """Windows of 510 bp a CPU second from peaks to packs for the shipped model, no forward."""
    n = 512 if quick else 32_768
    embedder = Embedder.load("peaklm-v3", device="cpu")
    if (data / GENOME).exists():
        source: Any = open_genome(data / GENOME)
        contig, size = next(iter(source.contig_sizes.items()))
        start = np.linspace(0, size - 600, n).astype(np.int64)
        peaks = Intervals.from_columns([contig] * n, start, start + 500)
    else:
        source = RandomGenome()
        peaks = source.draw(n, 500)
    blocks = embedder._blocks
    rows = blocks.rows(peaks, source)

    def prepare() -> None:
        for part in rows:
            blocks.prepare(peaks, source, part)

    return n / min(cpu_seconds(prepare) for _ in range(2 if quick else 4))


def cuda_counts() -> tuple[float, float]:
    """Kernels a layer and host reads a pack of the GPU's forward, by counting on a CPU.

    Functions that `torch.compile` fuses count as one kernel, attention without padding as one.
    """
    whole, one = (_counted(layers) for layers in (2, 1))
    return float(whole.n_kernels - one.n_kernels), float(whole.n_reads)


def _counted(layers: int) -> OpCounts:
    counts = OpCounts()
    forward = CudaForward(torch.device("cpu"), fuse=counts.fuse)
    forward._kernel = _Counted()  # type: ignore[assignment]
    model = make_model(SHAPES["tiny"])
    encoder: PackedEncoder = build_encoder(
        model, "bf16", torch.device("cpu"), gated=True, forward=forward
    )
    encoder = replace(encoder, blocks=encoder.blocks[:layers])
    plan = encoder.plan(np.arange(4, 104), [60, 40])
    counts.kernels.clear()
    with counts:
        encoder.mean(encoder.hidden(plan), plan)
    return counts


class _Counted:
    """Stands for the kernel of attention, which a CPU has not: one operation."""

    options: dict[str, Any] = {}  # noqa: RUF012 (never changed)

    def takes(self, _: object) -> bool:
        """Everything."""
        return True

    def call(self, query: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        """Something of the right shape."""
        return query + 0


def peaklm_ratio(before: str, *, quick: bool) -> tuple[float | None, str]:
    """CPU time of the shipped model at a commit over that of now, in turn, and what is amiss."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "before"
        made = _git("worktree", "add", "--detach", str(tree), before)
        if made.returncode != 0:
            said = made.stderr.strip().splitlines() or ["git failed"]
            return None, f"{before} cannot be checked out ({said[-1]})"
        try:
            return _ratio_of_trees(tree, quick=quick)
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _ratio_of_trees(before: Path, *, quick: bool) -> tuple[float | None, str]:
    trees = [_started(tree, 16 if quick else 1024) for tree in (before, ROOT)]
    ratios, digests = [], set()
    try:
        for _ in range(1 if quick else 7):
            answers = [_asked(tree) for tree in trees]
            ratios.append(float(answers[0][0]) / float(answers[1][0]))
            digests |= {digest for _, digest in answers}
    except (ValueError, OSError):
        return None, "a tree did not answer"
    finally:
        for tree in trees:
            tree.communicate()
    return statistics.median(ratios), "" if len(digests) == 1 else "the vectors differ"


def _started(tree: Path, n: int) -> subprocess.Popen[str]:
    script = Path(__file__).parent / "embed_commit.py"
    return subprocess.Popen(
        [sys.executable, "-P", str(script), str(n)], text=True, cwd=tree,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def _asked(tree: subprocess.Popen[str]) -> tuple[str, str]:
    assert tree.stdin is not None
    assert tree.stdout is not None
    tree.stdin.write("\n")
    tree.stdin.flush()
    seconds, digest = tree.stdout.readline().split()
    return seconds, digest


def _git(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=False)
