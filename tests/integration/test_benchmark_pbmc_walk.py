"""The stranger's walk on made-up fragments: peaks are called, and every figure comes out."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
PLACES = np.arange(20_000, 80_000, 4_000)
TYPES = ("alpha", "beta", "gamma")


@pytest.fixture(scope="module")
def walking():
    """Modules of the walk, which scripts import by their bare names."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import pbmc_walk  # noqa: PLC0415 - found by the path above
        import pileup  # noqa: PLC0415 - as above

        yield pbmc_walk, pileup
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """Like that of chromatinhd: 120 cells of three types, each with its own third of 15 places."""
    rng = np.random.default_rng(0)
    names = [f"CELL{i:03d}-1" for i in range(120)]
    rows = []
    for i, name in enumerate(names):
        own = PLACES[np.arange(len(PLACES)) % 3 == i % 3]
        where = np.concatenate([rng.choice(own, 24), rng.choice(PLACES, 3)])
        starts = where + rng.integers(-60, 60, len(where))
        rows += [("chr1", int(s), int(s) + 90, name) for s in starts]
    text = "".join(f"{c}\t{s}\t{e}\t{b}\t1\n" for c, s, e, b in sorted(rows))
    obs = pd.DataFrame({"celltype": [TYPES[i % 3] for i in range(120)]}, index=names)
    folder = tmp_path_factory.mktemp("sdist")
    ad.AnnData(np.zeros((120, 1), np.float32), obs=obs).write_h5ad(folder / "t.h5ad")
    files = {
        "fragments.tsv.gz": gzip.compress(text.encode()),
        "transcriptome.h5ad": (folder / "t.h5ad").read_bytes(),
    }
    path = folder / "chromatinhd-0.4.3.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            inside = "chromatinhd-0.4.3/src/chromatinhd/data/examples/pbmc10ktiny"
            info = tarfile.TarInfo(f"{inside}/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_peaks_are_called_where_cut_sites_pile_up(walking, sdist, tmp_path):
    pbmcs = walking[0].load(sdist, tmp_path)
    peaks = walking[1].call_peaks(pbmcs.fragments, pbmcs.types.index)
    assert set(peaks["end"] - peaks["start"]) == {walking[1].WIDTH}
    assert len(peaks) == len(PLACES)
    assert np.abs(peaks["start"] + 250 - (PLACES + 45)).max() < 100
    assert (peaks["start"].to_numpy()[1:] >= peaks["end"].to_numpy()[:-1]).all()


def test_even_coverage_has_no_peaks(walking):
    starts = np.arange(0, 60_000, 20)
    table = pd.DataFrame({"chrom": "chr1", "start": starts, "end": starts + 90, "barcode": "A"})
    inner = walking[1].call_peaks(table, ["A"])
    assert not inner["start"].between(8_000, 52_000).any()


def test_a_walk_gives_every_figure(walking, sdist, run, tmp_path, monkeypatch):
    walk = walking[0]

    def in_process(*words, shown):
        done = run(*words, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out.splitlines()[-1])

    monkeypatch.setattr(walk, "peakatlas", in_process)
    found = walk.benchmark(walk.load(sdist, tmp_path), 1, tmp_path)
    assert (found["cells"], found["types"], found["seeds"]) == (120, 3, 1)
    assert found["peaks"] == len(PLACES)
    assert found["accuracy"] > 0.9
    assert found["own_peaks_accuracy"] > 0.9
    assert found["baseline_accuracy"] > 0.9
    assert 0.3 < found["largest_type"] < 0.5
    assert 0 <= found["coverage"] <= 1
    assert found["accuracy_with_rejection"] <= found["coverage"]
    assert found["median_counts"] > 40
    assert {"macro_f1_sd", "ece", "train_seconds", "provenance"} <= set(found)
