"""What a model ran on."""

import torch

from peakatlas.engine.run import hardware
from peakatlas.engine.run.hardware import hardware_of


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
