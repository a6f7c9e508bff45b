"""Write engine_embeddings.npz: what the engine gives for fixed weights and fixed DNA.

Run ``python tests/golden/make_engine_embeddings.py`` from the repository root after a change that
is meant to alter embeddings; the test compares with a tolerance of 1e-5 (float32) and 0.02 (bf16).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy_models import write_toy_esm

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.embedder import Embedder

GOLDEN = Path(__file__).with_name("engine_embeddings.npz")
SEQUENCES = ("ACGT" * 30, "TTAGGG" * 20 + "A", "NNACGTNACGTACGTAC", "acgtacgt", "C", "NNN")


def fixed_embedder(folder: Path, precision: str) -> Embedder:
    """A toy whose weights come from numpy alone, so that no library's initialisation matters."""
    path = write_toy_esm(folder / "golden")
    weights = load_file(path / "model.safetensors")
    rng = np.random.default_rng(20)
    for name in sorted(weights):
        is_norm = weights[name].ndim == 1 and name.endswith("weight")
        values = rng.normal(0, 0.3, weights[name].shape) + is_norm
        weights[name] = values.astype(np.float32)
    inverse = 1 / 10_000 ** (np.arange(0, 8, 2, dtype=np.float32) / 8)
    weights |= {name: inverse for name in weights if name.endswith("inv_freq")}
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    return Embedder.load(str(path), precision=precision)


def golden_values(folder: Path, precision: str) -> np.ndarray:
    """Embeddings of `SEQUENCES`, float32, shape (6, 32)."""
    return fixed_embedder(folder, precision).embed_sequences(Sequences.from_strings(SEQUENCES))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        np.savez(GOLDEN, fp32=golden_values(Path(folder), "fp32"))
