"""The tutorial notebook runs from top to bottom, on small data of the same names."""

import shutil

import anndata as ad
import pytest
from doc_blocks import ROOT

TUTORIAL = ROOT / "docs" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def notebook():
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    return nbformat.read(TUTORIAL, as_version=4)


def test_it_is_kept_without_outputs(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 8
    assert not any(cell.outputs or cell.execution_count for cell in code)


def test_it_runs(notebook, desk, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    pytest.importorskip("matplotlib", reason="the notebook draws with matplotlib")
    for name in ("reference.h5ad", "query.h5ad", "peaks.bed", "hg38.fa.gz"):
        shutil.copy(desk / name, tmp_path)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    run = client.execute()
    drawn = [out for cell in run.cells for out in cell.get("outputs", ()) if "data" in out]
    assert any("image/png" in out["data"] for out in drawn)
    made = ad.read_h5ad(tmp_path / "tutorial.h5ad")
    assert set(made.obs["strict_label"]) <= {*made.uns["peakatlas"]["types"], "Unassigned"}
    assert "X_peakatlas_tsne" in made.obsm
    assert (tmp_path / "tutorial.html").stat().st_size > 100_000
