"""The benchmark of other readers runs, and they find every value."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_quick_run_finds_every_value():
    pytest.importorskip("xarray", reason="xarray is not installed")
    command = [sys.executable, "benchmarks/interop.py", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["values_equal"] is True
    for way in ("zarr", "xarray", "peakatlas", "to_xarray"):
        assert result[f"{way}_seconds"] > 0
