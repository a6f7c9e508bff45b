"""The Snakefile of the docs builds an atlas of two shards."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from desk import N_PEAKS
from doc_blocks import ROOT, blocks

from peakatlas.atlas import Atlas

SNAKEMAKE = shutil.which("snakemake")


@pytest.mark.skipif(SNAKEMAKE is None, reason="snakemake is not installed")
def test_the_snakefile_of_the_docs_builds_an_atlas(desk, tmp_path):
    (recipe,) = (b.text for b in blocks("docs/genome-scale.md") if b.kind == "snakemake")
    for name in ("hg38.fa.gz", "peaks.bed"):
        shutil.copy(desk / name, tmp_path / name)
    rows = -(-N_PEAKS // 2)
    text = recipe.replace("{ATLAS} --json", f"{{ATLAS}} --shard-rows {rows} --json")
    (tmp_path / "Snakefile").write_text(text)
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [SNAKEMAKE, "--cores", "1"],
        cwd=tmp_path,
        env=os.environ | {"PATH": paths, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "written").iterdir()) == ["0", "1"]
    assert len(Atlas.open(tmp_path / "snake.zarr")) > rows
