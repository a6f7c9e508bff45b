"""The packaged cells: made again from the seed, other peaks, a missing type, called simulated."""

import hashlib

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from peakatlas.demo.elements import DATA, SLICE, read_slice
from peakatlas.demo.simulate import CELL_TYPES, MISSING_TYPE, Chance, simulate
from peakatlas.engine.intervals.readers import read_bed

SLICE_MD5 = "9869a7a62decc6273fb338b939c6928c"


@pytest.fixture(scope="module")
def packaged() -> dict[str, ad.AnnData]:
    return {name: ad.read_h5ad(DATA / f"simulated_{name}.h5ad") for name in ("reference", "query")}


@pytest.fixture(scope="module")
def again():
    return simulate()


def test_slice_is_the_real_sequence():
    letters = np.frombuffer(b"ACGTN", np.uint8)[read_slice()]
    assert len(letters) == 4_000_000
    assert hashlib.md5(letters.tobytes()).hexdigest() == SLICE_MD5


@pytest.mark.parametrize("name", ["reference", "query"])
def test_generator_gives_the_packaged_cells(packaged, again, name):
    made = again[1] if name == "reference" else again[2]
    assert (made.X != packaged[name].X).nnz == 0
    pd.testing.assert_frame_equal(
        made.obs.astype(str), packaged[name].obs.astype(str), check_names=False
    )
    pd.testing.assert_frame_equal(
        made.var.astype(str), packaged[name].var.astype(str), check_names=False
    )


def test_generator_gives_the_packaged_peaks(again):
    pd.testing.assert_frame_equal(read_bed(DATA / "peaks.bed").to_frame(), again[0])


def test_cells_are_called_simulated(packaged):
    assert all("imulated" in cells.uns["simulated"] for cells in packaged.values())


def test_reference_lacks_one_type(packaged):
    assert set(packaged["query"].obs.cell_type) == set(CELL_TYPES)
    assert set(packaged["reference"].obs.cell_type) == set(CELL_TYPES) - {MISSING_TYPE}


def test_query_has_other_peaks_and_less_depth(packaged):
    reference, query = packaged["reference"], packaged["query"]
    share = np.isin(query.var_names, reference.var_names).mean()
    assert 0.1 < share < 0.5
    assert query.X.sum(axis=1).mean() < 0.6 * reference.X.sum(axis=1).mean()


def test_peaks_lie_on_the_slice(again):
    start, end = map(int, SLICE.partition(":")[2].split("-"))
    for table in (again[0], again[1].var, again[2].var):
        assert table.start.min() > start + 255
        assert table.end.max() < end - 255
        assert not table.duplicated().any()


def test_packaged_files_are_small():
    assert sum(file.stat().st_size for file in DATA.iterdir()) < 3_000_000


def test_poisson_by_inversion_has_its_mean_and_variance():
    drawn = Chance(0).poisson(np.full(200_000, 0.4))
    assert drawn.mean() == pytest.approx(0.4, abs=0.01)
    assert drawn.var() == pytest.approx(0.4, abs=0.01)
