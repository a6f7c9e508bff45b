"""The benchmark of writing and reading runs, and prints what it promises."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_quick_run_prints_every_figure(tmp_path):
    command = [sys.executable, "benchmarks/atlas_io.py", "--quick", "--json",
               "--folder", str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for key in ("write_mb_s", "read_mb_s", "write_ratio_vs_raw", "read_ratio_vs_raw"):
        assert result[key] > 0
    assert result["dim"] == 512
    assert "commit" in result["provenance"]
    assert not list(tmp_path.iterdir())
