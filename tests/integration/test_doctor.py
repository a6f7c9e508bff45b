"""`peakatlas doctor`: what it finds, and what it says to do."""

import json
import sys

import pytest

from peakatlas.cli.doctor import findings, limits


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "peakatlas"
    (folder / "atlases").mkdir(parents=True)
    (folder / "genome.fa").write_bytes(b"x" * 2_000_000)
    (folder / "genome.fai").write_bytes(b"x" * 100)
    (folder / "atlases" / "copy").write_bytes(b"x" * 500)
    return folder


def test_doctor_looks_at_everything(run, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(findings, "_PROBE_BYTES", 1 << 20)
    done = run("doctor", "--folder", tmp_path, "--json")
    said = json.loads(done.out)
    found = {each["name"]: each for each in said["findings"]}
    assert said["ok"] is True
    assert done.code == 0
    assert list(found) == [
        "python", "packages", "extras", "torch", "numpy BLAS", "FAISS", "CPU", "GPU", "threads",
        "memory", f"disk {tmp_path}", "cache",
    ]  # fmt: skip
    assert found["python"]["facts"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert found["packages"]["facts"]["zarr"].startswith("3.")
    assert found["cache"]["facts"]["bytes"] == 2_000_600
    assert found["cache"]["facts"]["genome_bytes"] == 2_000_100
    assert found["cache"]["remedy"] == "peakatlas doctor --clear-cache"


def test_what_is_broken_exits_1_with_its_remedy(run, cache, monkeypatch, tmp_path):
    both = {"faiss-cpu": "1.15.1", "faiss-gpu": "1.15.1"}
    monkeypatch.setattr(findings, "installed_faiss", lambda: both)
    done = run("doctor", "--folder", tmp_path, "-q")
    assert done.code == 1
    lines = done.out.splitlines()
    at = lines.index("BAD   FAISS: faiss-cpu 1.15.1, faiss-gpu 1.15.1: they share a folder and "
                     "break each other")  # fmt: skip
    assert lines[at + 1].strip() == (
        "-> pip uninstall -y faiss-cpu faiss-gpu && pip install faiss-gpu"
    )
    assert done.err == ""


def test_clearing_the_cache_leaves_copies_of_atlases(run, cache):
    assert json.loads(run("doctor", "--clear-cache", "--json").out)["freed_bytes"] == 2_000_100
    assert [path.name for path in cache.rglob("*") if path.is_file()] == ["copy"]
    assert "removed 0 B" in run("doctor", "--clear-cache").err


def test_faiss_of_this_environment_is_found():
    installed = findings.installed_faiss()
    assert findings.check_faiss(installed).state == ("ok" if installed else "note")
    absent = findings.check_faiss({})
    assert (absent.state, "peakatlas[cpu]" in absent.remedy) == ("note", True)


def test_absent_and_old_packages_are_named(monkeypatch):
    needs = ["zarr>=99", "no-such-package>=1", "numpy>=1", "pytest>=99; extra == 'dev'"]
    monkeypatch.setattr(findings, "requires", lambda _: needs)
    found = findings.check_packages()
    assert found.state == "broken"
    assert found.remedy == "pip install 'zarr>=99' 'no-such-package>=1'"
    assert found.facts["no-such-package"] == "absent"


def test_absent_extras_are_no_fault_but_named(monkeypatch):
    def no_matplotlib(name: str) -> str:
        if name == "matplotlib":
            raise findings.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(findings, "version", no_matplotlib)
    found = findings.check_extras()
    assert found.state == "ok" and found.facts["matplotlib"] is None
    assert found.text.startswith("matplotlib absent (figures), aiohttp 1.0 (https URLs)")
    assert found.remedy == "if needed: pip install 'peakatlas[plot]'"


@pytest.mark.parametrize(
    ("flags", "state"),
    [("avx2 avx512f avx512_bf16", "ok"), ("avx2 amx_bf16", "ok"), ("avx2", "note"), ("", "ok")],
)
def test_cpu_without_bf16_gets_a_hint(flags, state):
    text = f"processor\t: 0\nmodel name\t: A CPU\nflags\t\t: {flags}\n" if flags else ""
    found = findings.check_cpu(text)
    assert found.state == state
    assert ("fp32 products" in found.text) == (state == "note")
    assert found.facts["products"] == ("fp32" if state == "note" else "bf16")
    assert found.facts["flags"] == [name for name in flags.split() if name != "avx"]


@pytest.mark.parametrize(
    ("cores", "limit", "omp", "remedy"),
    [
        (8, None, None, ""), (8, None, "4", ""), (8, 2.0, "2", ""), (2, 2.0, None, ""),
        (8, 2.0, None, "export OMP_NUM_THREADS=2"), (4, None, "16", "export OMP_NUM_THREADS=4"),
        (4, 0.5, "2", "export OMP_NUM_THREADS=1"),
    ],
)  # fmt: skip
def test_more_threads_than_cores_get_a_remedy(cores, limit, omp, remedy):
    found = findings.check_threads(cores, limit, omp)
    assert found.remedy == remedy
    assert found.state == ("note" if remedy else "ok")


def test_limits_of_all_groups_above_count(tmp_path):
    inner = tmp_path / "job" / "step"
    inner.mkdir(parents=True)
    assert limits.core_limit(tmp_path, "/job/step") is None
    assert limits.memory_limit(tmp_path, "/job/step") is None
    (inner / "cpu.max").write_text("max 100000\n")
    (tmp_path / "job" / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "cpu.max").write_text("400000 100000\n")
    (inner / "memory.max").write_text("max\n")
    (tmp_path / "job" / "memory.max").write_text("1000000\n")
    assert limits.core_limit(tmp_path, "/job/step") == 1.5
    assert limits.memory_limit(tmp_path, "/job/step") == 1_000_000
    assert limits.core_limit(tmp_path, "/") == 4


def test_little_memory_and_no_folder_are_named(tmp_path):
    assert findings.check_memory(64_000_000_000, None).state == "ok"
    small = findings.check_memory(64_000_000_000, 2_000_000_000)
    assert (small.state, small.text) == ("note", "2 GB of 64 GB (cgroup)")
    absent = findings.check_disk(tmp_path / "absent")
    assert absent.state == "broken"
    assert "no such file or directory" in absent.text
    tried = findings.check_disk(tmp_path, n_bytes=1 << 20)
    assert tried.facts["write_mb_s"] > 0
    assert list(tmp_path.iterdir()) == []
