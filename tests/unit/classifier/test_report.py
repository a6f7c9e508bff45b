"""The report is one page that loads nothing, and says what the annotation says."""

from __future__ import annotations

import base64
import gzip
import json
import re

import anndata as ad
import numpy as np
import pytest
from cell_tools import types_of

from peakatlas.classifier.annotate import annotate
from peakatlas.classifier.layout import cell_map
from peakatlas.classifier.report import report_data, write_report
from peakatlas.engine.errors import CountsError, LabelsError


@pytest.fixture(scope="module")
def annotated(world, bundle, atlas):
    types = np.concatenate([types_of(15), np.full(15, 4)])
    return annotate(world.cells(types, seed=5), bundle, atlas)


def payload_of(page: str) -> dict:
    packed = re.search(r'id="payload-gz">([^<]*)<', page).group(1)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_page_is_self_contained_and_survives_a_file(annotated, tmp_path):
    annotated.write_h5ad(tmp_path / "a.h5ad")
    read_back = ad.read_h5ad(tmp_path / "a.h5ad")
    write_report(read_back, tmp_path / "r.html", labels_key="cell_type", title="My <query>")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<h1>My &lt;query&gt;</h1>" in page and "{{" not in page.split("<script>")[0]
    assert not re.search(r'(?:src|href)\s*=\s*"', page)
    assert len(page) < 3_000_000
    kept = payload_of(page)
    assert kept["cells"]["label"] == annotated.obs["peakatlas_label"].astype(str).tolist()
    assert kept["record"] == json.loads(annotated.uns["peakatlas"]["record"])


def test_what_it_shows(annotated):
    found = report_data(annotated, labels_key="cell_type")
    assert [row["cells"] for row in found["composition"]] == [
        int((annotated.obs["peakatlas_label"] == name).sum())
        for name in ("type0", "type1", "type2", "type3", "Unassigned")
    ]
    assert sum(row["query"] for row in found["composition"]) == pytest.approx(1)
    assert np.sum(found["truth"]["counts"]) == 75
    assert found["truth"]["scores"]["accuracy"] > 0.6
    assert found["tiers"] == [["same interval in the atlas", 240]]
    assert (
        "75 cells of AnnData were compared by their accessibility and sequence" in found["summary"]
    )
    assert report_data(annotated)["truth"] is None


def test_same_input_same_map(annotated):
    assert report_data(annotated)["map"] == report_data(annotated)["map"]


def test_refusals(annotated, tmp_path):
    with pytest.raises(CountsError, match=r"holds no annotation. Run peakatlas annotate"):
        write_report(ad.AnnData(np.zeros((2, 2))), tmp_path / "r.html")
    with pytest.raises(LabelsError, match="obs has no column 'nope'; columns there are: cell_type"):
        write_report(annotated, tmp_path / "r.html", labels_key="nope")


def test_map_keeps_groups_apart_and_places_cells_beyond_the_landmarks(monkeypatch):
    monkeypatch.setattr("peakatlas.classifier.layout.LANDMARKS", 200)
    rng = np.random.default_rng(0)
    cells = np.concatenate([rng.normal(size=(200, 5)), rng.normal(size=(200, 5)) + 20])
    placed = cell_map(cells.astype(np.float32), seed=1)
    assert placed.shape == (400, 2) and np.isfinite(placed).all()
    halves = placed[:200].mean(0), placed[200:].mean(0)
    spread = np.linalg.norm(placed[:200] - halves[0], axis=1).mean()
    assert np.linalg.norm(halves[0] - halves[1]) > 2 * spread
    assert cell_map(cells[:5].astype(np.float32)).shape == (5, 2)
