"""Writers that are killed and disks that refuse lose nothing; a small run of the benchmark."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ERRORS = {
    "disk_full": ("No space left on device", "File too large"),
    "read_only": ("Read-only file system", "Permission denied"),
    "two_writers": ("is held by another process", "is written already"),
}


@pytest.fixture(scope="module")
def result():
    command = [sys.executable, "benchmarks/faults.py", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_killed_writers_lose_nothing(result):
    assert result["kills"] >= 6
    assert sum(result["kills_by_phase"].values()) == result["kills"]
    assert (result["lost_rows"], result["wrong_rows"]) == (0, 0)
    assert result["identical_to_uninterrupted"] is True


@pytest.mark.parametrize("name", ["disk_full", "read_only", "two_writers", "clock_jumps"])
def test_other_faults_lose_nothing(result, name):
    outcome = result["scenarios"][name]
    if "skipped" in outcome:
        pytest.skip(outcome["skipped"])
    assert (outcome["lost_rows"], outcome["wrong_rows"], outcome["rows"]) == (0, 0, 1000)
    assert outcome["identical_to_uninterrupted"] is True
    assert name not in ERRORS or any(text in outcome["error"] for text in ERRORS[name])
    assert outcome.get("one_winner_each", True)
    assert outcome.get("done_shards_kept", True)
