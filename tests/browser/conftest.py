"""A report page of made-up cells in headless Chromium."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from peakatlas.classifier.report.page import write_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TYPES = ("B", "NK", "T cell")
CELLS = 240
SHARES = ("contribution", "open_in_type", "open_elsewhere")


def made_up_record(labels: pd.Series) -> dict:
    """What `annotate` would keep of such a query."""
    figures = {"cells": 30, "precision": 0.9, "confidence": 0.92}
    verdicts = [
        {"type": "B", "verdict": "trust", "words": "trust", "f1": 0.9,
         "reason": "held-out F1 0.90 on 30 cells", **figures},
        {"type": "NK", "verdict": "do not use", "words": "do not use", "f1": 0.2,
         "reason": "held-out F1 0.20 on 30 cells", **figures},
        {"type": "T cell", "verdict": "merge", "words": "merge with B", "f1": 0.6,
         "reason": "held-out F1 0.60 on 30 cells; most often mixed up with B", **figures},
    ]  # fmt: skip
    return {
        "software": {"python": "3", "peakatlas": "0"},
        "query": "query.h5ad",
        "cells": len(labels),
        "peaks": 12,
        "median_depth": 6.0,
        "types": list(TYPES),
        "labels": {str(k): int(v) for k, v in labels.value_counts().items()},
        "unassigned": {"novel": int((labels == "Unassigned").sum())},
        "shared_counts": 0.8,
        "tiers": {"exact": 7, "embedded": 3, "missing": 2},
        "labeller": {
            "accuracy": 0.95, "macro_f1": 0.94, "ece": 0.03,
            "weights": {"logistic": 2.0, "dna": 1.0},
            "composition": {"used": True}, "pseudo_queries": {"by": "batch", "n": 2},
        },
        "options": {"seed": 0, "alpha": 0.1},
        "spec": {"model": "toy"},
        "spec_digest": "ab" * 32,
        "bundle": {
            "cells": 90, "cells_by_type": {"B": 30, "NK": 20, "T cell": 40}, "reference": "r.h5ad",
            "labels_key": "cell_type", "median_depth": 7.0,
        },
        "held_out": {
            "accuracy": 0.95, "macro_f1": 0.94,
            "reliability": {"ece": 0.03, "bins": [{"cells": 9, "confidence": 0.9, "right": 0.8}]},
            "by_type": {"B": {"cells": 30, "precision": 0.9, "recall": 0.8, "f1": 0.85,
                              "mistaken_for": {"NK": 6}}},
        },
        "verdicts": verdicts,
        "alerts": [
            {"severity": "problem", "text": "Labels of NK should not be used. Merge types."},
            {"severity": "caution",
             "text": "Query cells are shallow: 6 counts. Remove the shallowest cells."},
        ],
        "warnings": ["Query cells are shallow: 6 counts. Remove the shallowest cells."],
    }  # fmt: skip


@pytest.fixture(scope="session")
def annotated() -> ad.AnnData:
    """Three groups of cells; every tenth is open and of a type that the reference lacks."""
    rng = np.random.default_rng(0)
    code = np.arange(CELLS) % 3
    best = np.asarray(TYPES)[code]
    novel = np.arange(CELLS) % 10 == 0
    labels = np.where(novel, "Unassigned", best)
    obs = pd.DataFrame(
        {
            "cell_type": np.where(novel, "rare", best),
            "donor": np.where(rng.random(CELLS) < 0.5, "d1", "d2"),
            "peakatlas_label": labels,
            "peakatlas_best": best,
            "peakatlas_confidence": np.where(novel, 0.4, 0.9) + rng.uniform(0, 0.09, CELLS),
            "peakatlas_novelty": rng.random(CELLS),
            "peakatlas_reason": np.where(novel, "novel", ""),
            "peakatlas_set": np.where(novel, "B|NK", best),
            "peakatlas_verdict": np.where(novel, "", "trust"),
        },
        index=[f"ACGT{i:04d}-1" for i in range(CELLS)],
    )
    centres = np.eye(3)[:, :3] * 8
    cells = ad.AnnData(sparse.csr_matrix(rng.poisson(0.5, (CELLS, 12)).astype(np.float32)), obs=obs)
    cells.obsm["X_peakatlas"] = (centres[code] + rng.normal(size=(CELLS, 3))).astype(np.float32)
    known = np.arange(90) % 3
    elements = [
        ("chr1", 100 * i, 100 * i + 50, name, rank, 1.0, 0.5, 0.8, 0.1)
        for i, name in enumerate(TYPES)
        for rank in (1, 2)
    ]
    columns = [
        "chrom",
        "start",
        "end",
        "type",
        "rank",
        "weight",
        "contribution",
        "open_in_type",
        "open_elsewhere",
    ]
    cells.uns["peakatlas"] = {
        "record": json.dumps(made_up_record(obs["peakatlas_label"])),
        "inputs": json.dumps({"query": "my query.h5ad", "bundle": "bundle/", "atlas": "a.zarr"}),
        "reference_embedding": (centres[known] + rng.normal(size=(90, 3))).astype(np.float16),
        "reference_types": np.asarray(TYPES)[known],
        "markers": pd.DataFrame(elements, columns=columns),
    }
    return cells


@pytest.fixture(scope="session")
def report(annotated, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(annotated, path, labels_key="cell_type", title="Cells of <one> query")
    return path


@pytest.fixture(scope="session")
def big_report(annotated, tmp_path_factory) -> Path:
    """The same cells many times over: 100,000, with barcodes and numbers of their own."""
    rng = np.random.default_rng(1)
    at = np.arange(100_000) % CELLS
    obs = annotated.obs.iloc[at].copy()
    number = rng.choice(4**16, len(at), replace=False)
    letters = np.array(list("ACGT"))[(number[:, None] >> np.arange(0, 32, 2)) & 3]
    obs.index = ["".join(row) + "-1" for row in letters]
    for name in ("peakatlas_confidence", "peakatlas_novelty"):
        obs[name] = rng.random(len(at))
    cells = ad.AnnData(annotated.X[at], obs=obs)
    noise = rng.normal(size=(len(at), 3)).astype(np.float32)
    cells.obsm["X_peakatlas"] = annotated.obsm["X_peakatlas"][at] + noise
    record = json.dumps(made_up_record(obs["peakatlas_label"]))
    cells.uns["peakatlas"] = {**annotated.uns["peakatlas"], "record": record}
    path = tmp_path_factory.mktemp("big") / "report.html"
    write_report(cells, path, labels_key="cell_type")
    return path


@pytest.fixture(scope="session")
def many_types_report(annotated, tmp_path_factory) -> Path:
    """250 cells of 25 types, some with long names."""
    types = [f"type {i}" if i % 3 else f"a progenitor of the type {i}" for i in range(25)]
    code = np.arange(250) % 25
    obs = annotated.obs.iloc[np.arange(250) % CELLS].copy()
    obs.index = [f"ACGT{i:04d}-1" for i in range(250)]
    for name in ("cell_type", "peakatlas_best", "peakatlas_label", "peakatlas_set"):
        obs[name] = np.asarray(types)[code]
    cells = ad.AnnData(annotated.X[np.arange(250) % CELLS], obs=obs)
    cells.obsm["X_peakatlas"] = np.eye(25, dtype=np.float32)[code] * 5
    record = made_up_record(obs["peakatlas_label"]) | {"types": types}
    record["bundle"] = {**record["bundle"], "cells": 250, "cells_by_type": dict.fromkeys(types, 10)}
    record["verdicts"] = [
        {**record["verdicts"][i % 3], "type": name} for i, name in enumerate(types)
    ]
    kept = {**annotated.uns["peakatlas"], "record": json.dumps(record)}
    kept["reference_embedding"] = np.eye(25, dtype=np.float16) * 5
    cells.uns["peakatlas"] = {**kept, "reference_types": np.asarray(types)}
    path = tmp_path_factory.mktemp("many") / "report.html"
    write_report(cells, path, labels_key="cell_type")
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, report) -> Iterator[Callable[..., Page]]:
    """Open the report; what the console complained of and what was fetched lie on the page."""
    contexts = []

    def opened(
        *,
        width: int = 1280,
        scheme: str = "light",
        path: Path = report,
        patience_ms: int = 60_000,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        context.set_default_timeout(patience_ms)
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.fetched = [], []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
        page.on("request", lambda request: page.fetched.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        return page

    yield opened
    for context in contexts:
        context.close()
