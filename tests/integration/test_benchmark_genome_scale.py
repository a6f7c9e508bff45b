"""The benchmark of a whole genome in small: it is killed, goes on, and prints what it promises."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from benchmark_scripts import benchmark_script

ROOT = Path(__file__).parents[2]


def test_quick_run_prints_every_figure(tmp_path):
    command = [sys.executable, "benchmarks/genome_scale.py", "--quick", "--json"]
    command += ["--peaks", "2400", "--workdir", str(tmp_path), "--data", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["was_killed"] is True
    assert result["identical"] is True
    assert (result["peaks"], result["sample"]) == (2400, True)
    assert result["cpu_seconds"] > result["cpu_seconds_before_kill"] > 0
    assert all(result[name] > 0 for name in ("atlas_mb", "verify_deep_seconds", "genome_bp"))


def test_contigs_have_their_sizes_and_repeat_the_dna_from_different_places(tmp_path):
    script = benchmark_script("genome_scale")
    dna = np.frombuffer(b"ACGTTG", np.uint8)
    script.write_genome(tmp_path / "g.fa", dna, {"a": 8, "b": 4})
    lines = (tmp_path / "g.fa").read_text().splitlines()
    assert lines == [">a", "ACGTTGAC", ">b", "TTGA"]
