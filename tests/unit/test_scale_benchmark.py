"""The tiled cells of the scale benchmark are what its docstring says."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from benchmark_scripts import benchmark_script


@pytest.fixture(scope="module")
def scale():
    return benchmark_script("scale")


def test_counts_are_copied_to_copies_of_their_peak(scale):
    cells = sp.csr_matrix(np.array([[2, 0, 0, 1], [0, 3, 0, 0]], np.float32))
    found = scale.tiled(cells, 40, 3, np.random.default_rng(0))
    assert found.shape == (2, 40)
    folded = np.asarray(found.todense()).reshape(2, 10, 4).sum(axis=1)
    np.testing.assert_array_equal(folded, cells.toarray() * 3)


def test_blocks_make_one_file_with_the_types_of_the_cells(scale, tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "BLOCK", 7)
    source = ad.AnnData(
        sp.csr_matrix(np.eye(4, dtype=np.float32)), obs=pd.DataFrame({"cell_type": list("abcd")})
    )
    peaks = pd.DataFrame({"chrom": "chr1", "start": range(8), "end": range(5, 13)})
    peaks.index = peaks.index.astype(str)
    types = scale.write_tiled(source, peaks, 20, tmp_path / "q.h5ad", n_copies=3, seed=0)
    written = ad.read_h5ad(tmp_path / "q.h5ad")
    assert written.shape == (20, 8)
    assert written.obs["cell_type"].astype(str).tolist() == types.tolist()
    opened = written.X.toarray().reshape(20, 2, 4).sum(axis=1)
    assert (opened.argmax(axis=1) == ["abcd".index(each) for each in types]).all()
    assert (opened.sum(axis=1) == 3).all()
