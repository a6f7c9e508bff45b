"""The benchmark of counting runs, both ways agree, and it prints what it promises."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIGURES = ("fragments_per_second_per_core", "ratio_vs_pandas", "seconds", "rss_mb", "counts")


def test_quick_run_prints_every_figure(tmp_path):
    command = [sys.executable, "benchmarks/fragments.py", "--quick", "--json"]
    command += ["--workdir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert all(result[name] > 0 for name in FIGURES)
    assert (result["fragments"], result["peaks"], result["cells"]) == (19998, 1980, 50)
    assert "commit" in result["provenance"]
