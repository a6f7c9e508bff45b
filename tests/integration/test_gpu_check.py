"""The check for a GPU runs on a CPU, section by section."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def run(*options):
    command = [sys.executable, "scripts/gpu_check", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_section_runs_on_a_cpu():
    done = run("--cpu", "--quick")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    wrong = {name: part["error"] for name, part in result.items() if "error" in part}
    assert not wrong
    assert result["agreement"]["tiny, bf16"]["min_cosine_to_cpu"] >= 0.9999
    assert result["agreement"]["tiny, fp32"]["alone_cosine"] >= 0.999999
    assert result["shipped"]["bf16"]["min_cosine_to_cpu"] >= 0.9999
    assert result["waiting"]["same_values"]
    assert result["kernels"]["tiny"]["reads"] == 0
    assert result["speed"]["tiny, 512 tokens"]["tokens_per_s"] > 0
    assert result["threads"]["peaks_per_s with OMP_NUM_THREADS=1"] > 0
    assert result["atlas"]["peaks"] == 200
    assert result["atlas"]["tiny"]["seconds"] > 0
    assert result["atlas"]["peaklm-v3"]["busy_share"] is None
    assert result["passed"]["cosine_to_cpu_at_least_0.9999"] is True
    assert result["passed"]["idle_below_5_percent"] is None


def test_the_first_sections_need_torch_and_numpy_only():
    code = (
        "import runpy, sys; sys.argv[1:] = ['--cpu'];"
        "absent = 'pandas zarr scipy sklearn anndata msgspec accelerate transformers safetensors';"
        "sys.modules |= dict.fromkeys(absent.split());"
        "check = runpy.run_path('scripts/gpu_check');"
        "run = check['Check'](on_cpu=True, quick=True, seconds=60);"
        "names = 'machine agreement waiting kernels speed';"
        "print(*('error' in check['run_here'](name, run) for name in names.split()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False"] * 5


def test_a_section_that_hangs_or_dies_costs_no_other():
    code = (
        "import runpy, sys; sys.argv[1:] = ['--cpu'];"
        "check = runpy.run_path('scripts/gpu_check');"
        "apart = check['run_apart'];"
        "print(apart('machine', on_cpu=True, quick=True, seconds=0.01));"
        "sys.executable = 'false';"
        "print(apart('machine', on_cpu=True, quick=True, seconds=60))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "{'error': 'not done after 0 s'}",
        "{'error': 'the process ended with 1: nothing'}",
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_to_do():
    done = run("--quick")
    assert done.returncode == 2
    assert "--cpu runs the same code on a CPU" in done.stderr
