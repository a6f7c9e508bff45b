"""A small genome for the engine's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def contigs() -> dict[str, str]:
    """Sequences of the toy genome, mixed case with N."""
    rng = np.random.default_rng(0)
    letters = np.array(list("ACGTacgtN"))
    return {name: "".join(rng.choice(letters, n)) for name, n in (("chr1", 997), ("chrM", 60))}


@pytest.fixture
def genome_file(tmp_path, contigs) -> Path:
    """The toy genome as plain FASTA with 60 bases a line."""
    path = tmp_path / "toy.fa"
    lines = []
    for name, dna in contigs.items():
        lines += [f">{name} a description", *(dna[i : i + 60] for i in range(0, len(dna), 60))]
    path.write_text("\n".join(lines) + "\n")
    return path
