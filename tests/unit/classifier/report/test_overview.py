"""Several queries stand side by side on one page."""

import json
import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from peakatlas.classifier.report.overview import query_facts, write_overview
from peakatlas.engine.errors import CountsError


def made_up(b_cells, open_cells, alerts=()):
    """An annotated query of 100 cells of two types."""
    labels = {"B": b_cells, "T": 100 - b_cells - open_cells, "Unassigned": open_cells}
    figures = {"reason": "held-out F1", "cells": 9, "f1": 0.9, "precision": 0.9, "confidence": 0.9}
    record = {
        "query": "q", "cells": 100, "peaks": 5, "types": ["B", "T"], "labels": labels,
        "software": {"peakatlas": "1"}, "options": {}, "spec": None, "shared_counts": 0.5,
        "bundle": {"cells": 10, "cells_by_type": {"B": 5, "T": 5}},
        "alerts": [{"severity": kind, "text": f"Seen {kind}. Do <this>."} for kind in alerts],
        "verdicts": [
            {"type": "B", "verdict": "trust", "words": "trust", **figures},
            {"type": "T", "verdict": "merge", "words": "merge with B", **figures},
        ],
    }  # fmt: skip
    obs = pd.DataFrame({"peakatlas_confidence": np.linspace(0.5, 1, 100)})
    obs.index = obs.index.astype(str)
    cells = ad.AnnData(np.zeros((100, 1)), obs=obs)
    cells.uns["peakatlas"] = {"record": json.dumps(record)}
    return cells


def rows_of(page, caption):
    table = re.search(rf"<caption>{caption}</caption>.*?</table>", page).group()
    rows = re.findall(r"<tr>(.*?)</tr>", re.sub(r"</?span[^>]*>", "", table))
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_queries_stand_side_by_side(tmp_path):
    queries = [
        query_facts(made_up(60, 10, ["problem", "caution", "caution"]), "one <1>"),
        query_facts(made_up(20, 0), "two"),
    ]
    write_overview(queries, tmp_path / "o.html", title="Both & more")
    page = (tmp_path / "o.html").read_text("utf-8")
    assert "<h1>Both &amp; more</h1>" in page
    assert rows_of(page, "Cells and alerts of each query")[1:] == [
        ["one &lt;1&gt;", "100", "90.0%", "0.75", "50%", "1 problem, 2 cautions"],
        ["two", "100", "100.0%", "0.75", "50%", "none"],
    ]
    assert rows_of(page, "Share of cells of each type") == [
        ["type", "one &lt;1&gt;", "two"],
        ["B", "60.0%", "20.0%"],
        ["T", "30.0%", "80.0%"],
        ["Unassigned", "10.0%", "0.0%"],
    ]
    assert rows_of(page, "What may be done with the labels of each type")[2] == [
        "T", "merge with B", "merge with B",
    ]  # fmt: skip
    assert "Do &lt;this&gt;." in page and "<script" not in page


def test_what_was_not_annotated_is_refused():
    with pytest.raises(CountsError, match="two holds no annotation"):
        query_facts(ad.AnnData(np.zeros((2, 2))), "two")


def test_shares_are_drawn_as_bars_and_verdicts_stand_out(tmp_path):
    queries = [query_facts(made_up(60, 10), "one"), query_facts(made_up(20, 0), "two")]
    write_overview(queries, tmp_path / "o.html")
    page = (tmp_path / "o.html").read_text("utf-8")
    first, second = re.findall(r'<div class="stack">(.*?)</div></div>', page)
    assert re.findall(r"width:([\d.]+)%", first) == ["60.000", "30.000", "10.000"]
    assert re.findall(r"width:([\d.]+)%", second) == ["20.000", "80.000", "0.000"]
    assert re.findall(r"background:(#\w+)", first)[2] == "#98a1ad"
    assert page.count('<span class="mark merge">merge with B</span>') == 2
