"""Time the shipped model as one tree of this repository has it, once for each line of input.

``embed.py`` starts this with the PYTHONPATH of a tree, beside another one with that of another
tree, and asks them in turn. The answer is CPU seconds for `N_WINDOWS` windows of 510 bp, and a
digest of the vectors.
"""

from __future__ import annotations

import hashlib
import sys
import time

import numpy as np
import torch

import peakatlas

try:
    from peakatlas.engine.dna.sequences import Sequences
except ImportError:  # trees from before the rooms within the engine
    from peakatlas.engine.sequences import Sequences  # type: ignore[import-not-found,no-redef]

N_WINDOWS, WIDTH = 1024, 510


def main() -> None:
    """Answer each line of standard input."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else N_WINDOWS
    torch.set_num_threads(1)
    embedder = peakatlas.Embedder.load("peaklm-v3", device="cpu")
    letters = np.random.default_rng(0).choice(np.frombuffer(b"ACGT", np.uint8), n * WIDTH)
    windows = Sequences.from_lengths(letters, [WIDTH] * n)
    embedder.embed_sequences(windows)
    for _ in sys.stdin:
        began = time.process_time()
        vectors = embedder.embed_sequences(windows)
        taken = time.process_time() - began
        print(taken, hashlib.sha256(vectors.tobytes()).hexdigest(), flush=True)


if __name__ == "__main__":
    main()
