"""Ctrl-C and SIGTERM: one line, the exit code of the signal, and a state that goes on."""

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from peakatlas.atlas.build import local as build
from peakatlas.cli.stopping import Stopped, stoppable
from tests.atlas_tools import tree_bytes

N_PEAKS = 2060
"""Two shards of 1024, and another one."""
BUILD = """
import time
from peakatlas.atlas.build import local
from peakatlas.cli.main import main
write = local.write_rows
def slow(writer, shard, *rows):
    time.sleep(2 * shard)
    write(writer, shard, *rows)
local.write_rows = slow
main()
"""


@pytest.fixture(autouse=True)
def heard():
    """A shell starts background jobs with SIGINT ignored; here it is heard, by children too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def many_peaks(tmp_path):
    peaks = tmp_path / "peaks.bed"
    peaks.write_text("".join(f"chr1\t{9 * i}\t{9 * i + 500}\n" for i in range(N_PEAKS)))
    return peaks


def stop_when(words, sign, number):
    """Run a build, send it a signal once a file is there; exit code and standard error."""
    command = [sys.executable, "-c", BUILD, *map(str, words)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    limit = time.monotonic() + 60
    while not sign.exists():
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.005)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    return process.returncode, error


def test_a_stopped_build_goes_on_where_it_was(
    run, world, toy_esm, many_peaks, tmp_path, monkeypatch
):
    out = tmp_path / "stopped.zarr"
    words = ("atlas", "build", world / "genome.fa", many_peaks, out, "--model", toy_esm,
             "--window", "centre:60")  # fmt: skip
    log = out / "segment-0000" / "log"
    code, said = stop_when(words, log / "shard-00000.json", signal.SIGINT)
    assert code == 130, said
    line = said.splitlines()[-1]
    assert line.startswith("stopped: what is written is kept; to go on, run the same again: ")
    assert shlex.split(line.partition("again: ")[2]) == ["peakatlas", *map(str, words)]
    assert "Traceback" not in said
    kept = {path.name: path.read_bytes() for path in log.glob("shard-*.json")}
    assert "shard-00000.json" in kept
    assert "shard-00002.json" not in kept  # a stop waits for no more than the shard in writing
    assert not (out / "manifest.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(build, "write_rows", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        again = run(*words)
    assert again.code == 143
    assert again.err.splitlines()[-1] == line
    assert run(*words).code == 0
    assert {name: (log / name).read_bytes() for name in kept} == kept
    whole = [tmp_path / "whole.zarr" if word == out else word for word in words]
    assert run(*whole).code == 0
    assert tree_bytes(out) == tree_bytes(tmp_path / "whole.zarr")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_does_not_go_on_says_so(run, world, built, trained, tmp_path, monkeypatch, number):
    def stop(*_arguments, **_options):
        os.kill(os.getpid(), number)
        time.sleep(5)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("peakatlas.classifier.annotate.annotation_of", stop)
    words = ("annotate", world / "query.h5ad", "--bundle", trained, "--atlas", built,
             "-o", tmp_path / "a file.h5ad", "-q")  # fmt: skip
    done = run(*words)
    assert done.code == 128 + number
    shown = shlex.join(["peakatlas", *map(str, words)])
    assert done.err == (
        f"stopped: no file was left half-written; to start anew, run the same again: {shown}\n"
    )
    assert not list(tmp_path.iterdir())
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_stopped_annotation_leaves_no_part_of_a_file(
    run, world, built, trained, tmp_path, monkeypatch
):
    import anndata as ad  # noqa: PLC0415

    def begin_to_write(_adata, path, **_options):
        path.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(ad.AnnData, "write_h5ad", begin_to_write)
    out = tmp_path / "out.h5ad"
    done = run("annotate", world / "query.h5ad", "--bundle", trained, "--atlas", built, "-o", out)
    assert done.code == 143
    assert list(tmp_path.iterdir()) == []


def test_a_stop_that_python_drops_comes_again():
    class Freed:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.001)

    with pytest.raises(Stopped) as stopped, stoppable():
        thing = Freed()
        del thing  # the exception that the handler raises in there is dropped
        time.sleep(5)
    assert stopped.value.number == signal.SIGINT


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGINT, before)
