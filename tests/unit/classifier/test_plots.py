"""Figures show the numbers of the annotation, in the colours of the report."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from cell_tools import types_of

import peakatlas
from peakatlas.classifier.annotate import annotate
from peakatlas.classifier.report.colours import PALETTE
from peakatlas.classifier.report.plain_page import PAGE
from peakatlas.engine.errors import CountsError, LabelsError

colors = pytest.importorskip("matplotlib.colors", reason="peakatlas.pl needs matplotlib")


@pytest.fixture(scope="module")
def cells(world, bundle, atlas):
    types = np.concatenate([types_of(15), np.full(15, 4)])
    found = annotate(world.cells(types, seed=5), bundle, atlas)
    peakatlas.tl.cell_map(found)
    return found


@pytest.fixture(autouse=True)
def pl():
    import matplotlib.pyplot as plt  # noqa: PLC0415 - may be missing

    plt.switch_backend("agg")
    yield peakatlas.pl
    plt.close("all")


def test_the_map_colours_every_cell_once(pl, cells):
    ax = pl.embedding(cells)
    clouds = {cloud.get_label(): len(cloud.get_offsets()) for cloud in ax.collections}
    sizes = cells.obs["peakatlas_label"].value_counts()
    assert clouds.pop("reference") == len(cells.uns["peakatlas"]["reference_types"])
    assert clouds == {name: n for name, n in sizes.items() if n}
    assert pl.embedding(cells, reference=False).collections[0].get_label() != "reference"


def test_numbers_get_a_colour_bar(pl, cells):
    ax = pl.embedding(cells, "peakatlas_confidence", reference=False)
    np.testing.assert_allclose(
        ax.collections[0].get_array(), cells.obs["peakatlas_confidence"].to_numpy()
    )
    assert len(ax.figure.axes) == 2


def test_figures_draw_on_given_axes(pl, cells):
    import matplotlib.pyplot as plt  # noqa: PLC0415 - may be missing

    _, ax = plt.subplots()
    assert pl.composition(cells, ax=ax) is ax


def test_composition_is_of_query_and_reference(pl, cells):
    widths = [bar.get_width() for bar in pl.composition(cells).patches]
    labels = cells.obs["peakatlas_label"]
    shares = [float((labels == name).mean()) for name in labels.cat.categories]
    assert widths[:5] == pytest.approx(shares)
    assert sum(widths[5:]) == pytest.approx(1)


def test_confidence_counts_open_cells_apart(pl, cells):
    bars = pl.confidence(cells, bins=10).patches
    opened = int((cells.obs["peakatlas_label"] == "Unassigned").sum())
    assert [sum(bar.get_height() for bar in part) for part in (bars[:10], bars[10:])] == [
        cells.n_obs - opened,
        opened,
    ]


def test_calibration_has_points_and_intervals(pl, cells):
    ax = pl.calibration(cells, "cell_type")
    drawn = {container.get_label().partition(",")[0]: container for container in ax.containers}
    assert set(drawn) == {"held-out reference", "query"}
    x, y = drawn["query"].lines[0].get_data()
    known = cells.obs["cell_type"].isin(["type0", "type1", "type2", "type3"])
    right = (cells.obs["peakatlas_best"].astype(str) == cells.obs["cell_type"].astype(str))[known]
    top = cells.obs["peakatlas_confidence"][known] >= 0.9
    assert (x[-1], y[-1]) == pytest.approx(
        (cells.obs["peakatlas_confidence"][known][top].mean(), right[top].mean()), abs=1e-4
    )
    assert "mean gap 0." in ax.get_legend().get_texts()[-1].get_text()


def test_confusion_holds_shares_of_the_known_types(pl, cells):
    ax = pl.confusion(cells, "cell_type")
    shares = np.asarray(ax.images[0].get_array())
    assert shares.sum(axis=1) == pytest.approx(np.ones(5))
    rows = [text.get_text() for text in ax.get_yticklabels()]
    columns = [text.get_text() for text in ax.get_xticklabels()]
    truth, label = cells.obs["cell_type"].astype(str), cells.obs["peakatlas_label"].astype(str)
    expected = ((truth == "type4") & (label == "Unassigned")).sum() / (truth == "type4").sum()
    assert shares[rows.index("type4"), columns.index("Unassigned")] == pytest.approx(expected)


def test_markers_are_those_that_were_kept(pl, cells):
    ax = pl.markers(cells, "type1", top=4)
    table = cells.uns["peakatlas"]["markers"]
    best = table[table["type"] == "type1"].head(4)
    assert [bar.get_width() for bar in ax.patches[:4]] == pytest.approx(best["open_in_type"])
    first = best.iloc[0]
    name = f"{first['chrom']}:{first['start'] + 1:,}-{first['end']:,}"
    assert ax.get_yticklabels()[0].get_text() == name
    assert colors.to_hex(ax.patches[0].get_facecolor()) == PALETTE[1]


def test_colours_are_those_of_the_report():
    from peakatlas.notebook import drawing  # noqa: PLC0415 - needs matplotlib

    theme = PAGE.joinpath("theme.js").read_text("utf-8")
    assert f'OPEN = "{drawing.OPEN}"' in theme
    assert tuple(re.findall(r"#[0-9a-f]{6}", theme.partition("RAMP = [")[2].partition("]")[0])) == (
        drawing.RAMP
    )


def test_refusals(pl, cells):
    bare = cells.copy()
    del bare.obsm["X_peakatlas_tsne"]
    with pytest.raises(CountsError, match=r"Run peakatlas\.tl\.cell_map"):
        pl.embedding(bare)
    with pytest.raises(LabelsError, match="obs has no column 'nope'"):
        pl.embedding(cells, "nope")
    with pytest.raises(LabelsError, match="no elements of 'B'; types are type0, type1"):
        pl.markers(cells, "B")
    del bare.uns["peakatlas"]
    with pytest.raises(CountsError, match="holds no annotation"):
        pl.composition(bare)


def test_without_matplotlib_it_says_what_to_install():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import peakatlas\n"
        "try:\n    peakatlas.pl\n"
        "except peakatlas.PeakAtlasError as error: print(isinstance(error, ImportError), error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True peakatlas.pl draws with matplotlib, which is not installed")
    assert "pip install 'peakatlas[plot]'" in done.stdout
