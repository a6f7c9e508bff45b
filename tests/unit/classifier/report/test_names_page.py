"""The page of named cells: lineages, suggestions, what was left open, and where names come from."""

import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import peakatlas
from peakatlas.classifier.report.names_page import write_names_report
from peakatlas.engine.errors import CountsError, LabelsError


@pytest.fixture
def named():
    """30 cells: 18 naive B, 9 monocytes, 3 that no term fits; a name holds markup."""
    sizes = {"B": 18, "monocyte": 9, "open": 3}
    kinds = np.repeat(list(sizes), list(sizes.values()))
    of = {
        "B": ("naive <B>", "CL:0000788", "lymphocyte of B lineage", 0.4, 0.9),
        "monocyte": ("classical monocyte", "CL:0000860", "myeloid cell", 0.5, 0.8),
        "open": ("no term fits", "", "no term fits", 0.1, np.nan),
    }
    columns = ["peakatlas_name", "peakatlas_name_id", "peakatlas_name_lineage",
               "peakatlas_name_score", "peakatlas_name_confidence"]  # fmt: skip
    obs = pd.DataFrame([of[kind] for kind in kinds], [f"c{i}" for i in range(30)], columns)
    obs["known"] = kinds
    cells = ad.AnnData(np.ones((30, 4)), obs=obs)
    centre = np.array([{"B": 0, "monocyte": 4, "open": 8}[kind] for kind in kinds])
    noise = np.random.default_rng(0).normal(size=(30, 3))
    cells.obsm["X_peakatlas_terms"] = (centre[:, None] + noise).astype(np.float32)
    cells.uns["peakatlas_name"] = {
        "elements": "mine.tsv", "ontology": "v1", "tissue": "all", "peaks_with_terms": 4,
        "terms": np.array(["CL:0000788", "CL:0000860"], object), "least_score": 0.2,
    }  # fmt: skip
    return cells


def rows_of(page, caption):
    table = re.search(rf"<caption>{caption}</caption>.*?</table>", page).group()
    rows = re.sub(r"</?span[^>]*>", "", table)
    return [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", rows)
    ]


def test_the_page_says_what_was_named_and_what_was_not(named, tmp_path):
    peakatlas.write_report(named, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert rows_of(page, "Cells of each lineage")[1:] == [
        ["lymphocyte of B lineage", "18", "60.0%", "0.40", "0.90"],
        ["myeloid cell", "9", "30.0%", "0.50", "0.80"],
        ["no term fits", "3", "10.0%", "0.10", "–"],
    ]
    assert rows_of(page, "Cells of each name")[1] == [
        "naive &lt;B&gt;", "CL:0000788", "lymphocyte of B lineage", "18", "60.0%"]  # fmt: skip
    assert "3 of 30 cells (10.0%) have a best score below 0.2 and got no name." in page
    assert "no term for stem and progenitor" in page and "suggestions" in page
    assert rows_of(page, "Annotation")[1] == ["elements", "mine.tsv"]
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")


def test_the_map_shows_each_cell_once_and_names_its_colours(named, tmp_path):
    peakatlas.write_report(named, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    paths = re.findall(r'<path [^>]*d="([^"]*)"', page)
    assert [path.count("M") for path in paths] == [3, 9, 18]
    places = np.array(re.findall(r"M(\d+) (\d+)h0", page), float)
    assert places.min() >= 0 and places.max() <= 640
    inks = re.findall(r'<path [^>]*stroke="(#\w+)"', page)
    dots = re.findall(r'class="dot" style="background:(#\w+)"', page)
    assert inks == dots[::-1] and len(set(dots)) == 3


def test_known_types_are_compared_when_asked(named, tmp_path):
    peakatlas.write_report(named, tmp_path / "r.html", labels_key="known", title="Mine & yours")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<h1>Mine &amp; yours</h1>" in page
    assert rows_of(page, "Lineages of the types in known")[1:] == [
        ["B", "18", "0", "0"], ["monocyte", "0", "9", "0"], ["open", "0", "0", "3"]]  # fmt: skip
    with pytest.raises(LabelsError, match="obs has no column 'other'"):
        peakatlas.write_report(named, tmp_path / "r.html", labels_key="other")


def test_cells_without_names_are_refused(tmp_path):
    with pytest.raises(CountsError, match="holds no names"):
        write_names_report(ad.AnnData(np.ones((3, 2))), tmp_path / "r.html")
