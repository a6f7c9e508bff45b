"""`--chain` lifts peaks for `train` and `annotate`, and says what became of them."""

from __future__ import annotations

import json

import anndata as ad
import pytest
from scipy import sparse

OFFSET = 5000


@pytest.fixture(scope="module")
def older(world, tmp_path_factory):
    """The world's cells with all peaks 5 kb further on, one of them where no chain leads."""
    folder = tmp_path_factory.mktemp("older")
    (folder / "old.chain").write_text(
        f"chain 1 chr1 99999 + {OFFSET} 65000 chr1 60000 + 0 60000 1\n60000\n"
    )
    for name in ("reference", "query"):
        cells = ad.read_h5ad(world / f"{name}.h5ad")
        var = cells.var.assign(start=cells.var["start"] + OFFSET, end=cells.var["end"] + OFFSET)
        var.iloc[0, var.columns.get_indexer(["start", "end"])] = [80_000, 80_500]
        var.index = [f"{c}:{s}-{e}" for c, s, e in zip(var.chrom, var.start, var.end, strict=True)]
        moved = ad.AnnData(sparse.csr_matrix(cells.X), obs=cells.obs, var=var)
        moved.write_h5ad(folder / f"{name}.h5ad")
    return folder


def test_train_and_annotate_lift_alike(run, older, built, tmp_path):
    ran = run("train", older / "reference.h5ad", "--labels", "cell_type", "--atlas", built,
              "--chain", older / "old.chain", "-o", tmp_path / "bundle")  # fmt: skip
    assert ran.code == 0, ran.err
    assert "old.chain: 59 lifted, 0 split, 1 lost (chr1:80000-80500)" in ran.err
    ran = run("annotate", older / "query.h5ad", "--bundle", tmp_path / "bundle", "--atlas", built,
              "--chain", older / "old.chain", "-o", tmp_path / "a.h5ad", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["tiers"] == {
        "exact": 29, "sequence": 0, "overlap": 0, "embedded": 0, "missing": 31,
    }  # fmt: skip


def test_a_chain_of_other_builds_is_refused(run, older, world, built, tmp_path):
    (tmp_path / "far.chain").write_text(
        "chain 1 chr1 9999999 + 5000000 5000100 chr1 60000 + 0 100 1\n100\n"
    )
    ran = run("train", world / "reference.h5ad", "--labels", "cell_type", "--atlas", built,
              "--chain", tmp_path / "far.chain", "-o", tmp_path / "bundle")  # fmt: skip
    assert ran.code == 1
    assert "far.chain: 0 lifted, 0 split, 60 lost" in ran.err
    assert "Give the chain file that leads from the build of the peaks" in ran.err
