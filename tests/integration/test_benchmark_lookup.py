"""The lookup benchmark runs, its ways agree, and it prints what it promises."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIGURES = (
    "seconds_total", "ratio_vs_reference", "join_ratio_vs_pyranges", "gather_fraction_of_memcpy",
    "rss_mb", "faiss_join_seconds",
)  # fmt: skip


def test_quick_run_prints_every_figure(tmp_path):
    command = [sys.executable, "benchmarks/lookup.py", "--quick", "--json"]
    command += ["--workdir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert all(result[name] > 0 for name in FIGURES)
    assert result["faiss_identical"] is True
    assert result["pairs"] > 100
    assert result["largest_difference"] < 1e-5
    assert (result["keys"], result["queries"], result["intervals"]) == (4000, 500, "random")
    assert "commit" in result["provenance"]
    assert (tmp_path / "atlas-4000x16.zarr" / "manifest.json").exists()
