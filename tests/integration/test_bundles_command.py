"""`peakatlas bundles`, and `--bundle NAME`."""

import json

import anndata as ad
import pytest

from tests.doc_blocks import ROOT

NAME = "pbmc-51-genes-hg38"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_bundle_is_described_kept_and_used_by_name(run, trained, built, world, tmp_path):
    own = tmp_path / "own"
    assert run("bundles", "get", trained, "--name", "plain").code == 0
    words = ("--licence", "MIT", "--source", "made up", "--build", "none", "--limit", "A toy.")
    done = run("bundles", "get", trained, "--name", "toy", "--json")
    facts = json.loads(done.out)
    assert facts["licence"] is None and "no card: ask its makers" in done.err
    assert run("bundles", "card", "toy", *words).code == 0
    done = run("bundles", "get", facts["path"], "--name", "toy2", "--json")
    assert (json.loads(done.out)["licence"], json.loads(done.out)["types"]) == (
        "MIT", ["alpha", "beta", "gamma"])  # fmt: skip
    listed = {each["name"] for each in json.loads(run("bundles", "list", "--json").out)}
    assert listed == {NAME, "plain", "toy", "toy2"}
    assert NAME in run("bundles", "list").out
    done = run("annotate", world / "query.h5ad", "--bundle", "toy2", "--atlas", built, "-o", own)
    assert done.code == 0, done.err
    assert "bundle toy2: none; licence MIT; made up" in done.err


def test_a_name_that_nothing_has_is_an_error(run, world, tmp_path):
    done = run("annotate", world / "query.h5ad", "--bundle", "nothing", "-o", tmp_path / "o.h5ad")
    assert done.code == 1
    assert "nothing does not exist; a trained bundle" in done.err
    assert "`peakatlas bundles list` shows" in done.err


def test_the_bundle_that_ships_labels_cells_right_after_installation(run, tmp_path):
    cells = ad.read_h5ad(ROOT / "tests" / "data" / "pbmc" / "pbmc.h5ad")[:150].copy()
    cells.write_h5ad(tmp_path / "q.h5ad")
    out = tmp_path / "a.h5ad"
    done = run("annotate", tmp_path / "q.h5ad", "--bundle", NAME, "-o", out)
    assert done.code == 0, done.err
    assert f"bundle {NAME}: hg38, blood; licence CC-BY-4.0; PBMC of a healthy donor" in done.err
    obs = ad.read_h5ad(out).obs
    myeloid = obs["cell_type"].isin(["CD14+ Monocytes", "FCGR3A+ Monocytes", "cDCs"])
    named = obs["peakatlas_label_lineage"] == "myeloid cell"
    assert (myeloid == named).mean() > 0.9
    assert (obs["peakatlas_label"].astype(str) == obs["cell_type"]).mean() > 0.6
    assert obs["cell_type_ontology_term_id"].str.fullmatch(r"CL:\d{7}|unknown").all()
