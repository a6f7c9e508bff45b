"""What a model ran on, and the memory of a process."""

import subprocess
import sys

import numpy as np
import torch

from peakatlas.engine.run import hardware
from peakatlas.engine.run.hardware import hardware_of, peak_memory


def test_a_cpu_is_named_with_what_it_can_do():
    found = hardware_of("cpu")
    assert found["torch"] == str(torch.__version__)
    assert found["device"]
    assert found["cpu_capability"] == torch.backends.cpu.get_cpu_capability()


def test_a_gpu_is_named_with_its_driver(tmp_path, monkeypatch):
    version = tmp_path / "version"
    version.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release\n"
    )
    monkeypatch.setattr(hardware, "_DRIVER", version)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"H200 as {device}")
    assert hardware_of("cuda:1") == {
        "torch": str(torch.__version__), "device": "H200 as cuda:1", "driver": "570.86.15",
    }  # fmt: skip
    monkeypatch.setattr(hardware, "_DRIVER", tmp_path / "none")
    assert "driver" not in hardware_of("cuda:1")


def test_the_memory_of_a_parent_does_not_count():
    """A child of a process that holds 400 MB, which ends after its imports."""
    held = np.ones(50_000_000)
    say = "from peakatlas.engine.run.hardware import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", say], capture_output=True, text=True, check=True)
    assert 5e6 < int(done.stdout) < held.nbytes < peak_memory()
