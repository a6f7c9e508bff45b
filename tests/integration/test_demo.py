"""The demo with the shipped model: every tier, good labels, the missing type left alone."""

import json

import anndata as ad
import pytest

from peakatlas.demo.run import DemoResult


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "demo-output"


def test_demo_end_to_end(run, out):
    done = run("demo", "-o", out, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out.splitlines()[-1])
    assert list(result) == [
        "n_peaks_embedded", "n_peaks_by_tier", "accuracy", "macro_f1", "rejected_unknown",
        "alerts", "seconds",
    ]  # fmt: skip
    tiers = result["n_peaks_by_tier"]
    assert sum(tiers.values()) == ad.read_h5ad(out / "annotated.h5ad").n_vars
    assert all(tiers[name] > 0 for name in ("exact", "sequence", "overlap", "embedded"))
    assert tiers["missing"] == 0
    assert result["n_peaks_embedded"] == 2210 + tiers["embedded"]
    assert 0.75 < result["accuracy"] < 1
    assert 0.75 < result["macro_f1"] < 1
    assert result["rejected_unknown"] > 0.7
    (alert,) = result["alerts"]
    assert f"caution: {alert['text']}" in done.err


def test_the_missing_type_is_alerted_alike_everywhere(out):
    cells = ad.read_h5ad(out / "annotated.h5ad")
    novel = int((cells.obs["peakatlas_reason"] == "novel").sum())
    record = json.loads(cells.uns["peakatlas"]["record"])
    assert record["unassigned"]["novel"] == novel > 40
    words = f"{novel} of {cells.n_obs} cells are novel, unlike any type of the reference"
    (alert,) = [each for each in record["alerts"] if each["text"].startswith(words)]
    assert alert["severity"] == "caution"
    page = (out / "report.html").read_text("utf-8")
    assert f"Caution: {words}" in page and "Nothing unusual" not in page


def test_demo_says_that_its_cells_are_simulated(out):
    page = (out / "report.html").read_text("utf-8")
    assert "simulated" in page
    assert "imulated" in ad.read_h5ad(out / "annotated.h5ad").uns["simulated"]


def test_demo_table_says_what_was_measured():
    result = DemoResult(
        n_peaks_embedded=3116,
        n_peaks_by_tier={"exact": 609, "missing": 0},
        accuracy=0.9,
        macro_f1=0.8,
        rejected_unknown=1.0,
        alerts=[],
        seconds=61.2,
    )
    rows = dict(result.rows())
    assert rows["peaks embedded"] == "3,116"
    assert rows["looked up: exact"] == "609"
    assert rows["accuracy (simulated cells)"] == "0.900"
