"""Simulated cells of three kinds, and annotated elements of two of them."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

NAIVE_B, MONOCYTE, NK = "CL:0000788", "CL:0000860", "CL:0000623"
KINDS = ("B", "monocyte", "stem")
N_PEAKS, CELLS_A_KIND = 1500, 60


@pytest.fixture(scope="session")
def simulated():
    """Cells that open peaks of their kind four times as often; the stem cells' carry no term."""
    rng = np.random.default_rng(1)
    own = np.arange(N_PEAKS) % 10  # 0 B, 1 monocyte, 2 stem, the rest all alike
    kinds = np.repeat(np.arange(3), CELLS_A_KIND)
    chance = np.where(own[None] == kinds[:, None], 0.4, 0.1)
    counts = sp.csr_matrix((rng.random(chance.shape) < chance).astype(np.float32))
    names = [f"chr1:{1000 * number}-{1000 * number + 500}" for number in range(N_PEAKS)]
    obs = pd.DataFrame({"kind": np.array(KINDS)[kinds]}, [f"c{i}" for i in range(len(kinds))])
    return ad.AnnData(counts, obs, pd.DataFrame(index=names))


@pytest.fixture(scope="session")
def element_table(tmp_path_factory):
    """A table of elements in the peaks: terms of B cells, monocytes and NK cells."""
    rng = np.random.default_rng(2)
    lines = ["# chrom, start, end, terms"]
    for number in range(N_PEAKS):
        own = {0: NAIVE_B, 1: MONOCYTE, 2: None}
        term = own.get(number % 10, rng.choice([NAIVE_B, MONOCYTE, NK]))
        terms = [term, NK][: 1 + int(rng.random() < 0.1 and term != NK)]
        if term is not None:
            begin = 1000 * number + 400
            lines.append(f"chr1\t{begin}\t{begin + 200}\t{', '.join(terms)}")
    path = tmp_path_factory.mktemp("elements") / "elements.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path
