"""Files aside: one name a process, nothing left behind, nothing taken from a living writer."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from peakatlas.atlas.storage import atomic as files
from peakatlas.engine.errors import AtlasError


def name_of(pid, host=None):
    return f".a.json.{host or socket.gethostname()}-{pid}-00ff00ff{files.ASIDE_SUFFIX}"


def dead_pid():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_names_aside_are_used_once():
    names = {files.owned_name("a.json") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith(f".a.json.{socket.gethostname()}-{os.getpid()}-") for name in names)


def test_a_sweep_takes_what_dead_writers_left_and_nothing_else(tmp_path):
    host = "node-7.cluster"
    kept = {name_of(os.getpid()), name_of(1), name_of(3, host), ".DS_Store", "a.json"}
    gone = {name_of(dead_pid()), ".a.json.aside", name_of(4, host)}
    for name in kept | gone:
        (tmp_path / name).touch()
    old = time.time() - 2 * 86_400
    os.utime(tmp_path / name_of(4, host), (old, old))
    files.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    files.write_bytes(tmp_path / "a", b"old")

    def fail(path, target):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(AtlasError, match="Input/output error"):
        files.write_bytes(tmp_path / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def fill(path, text):
    with files.new_folder(path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "x").write_text(text)


def test_an_equal_folder_in_place_is_success_and_another_is_refused(tmp_path):
    fill(tmp_path / "f", "one")
    (tmp_path / "f" / ".DS_Store").touch()
    fill(tmp_path / "f", "one")
    with pytest.raises(AtlasError, match="cannot write"):
        fill(tmp_path / "f", "two")
    assert (tmp_path / "f" / "inner" / "x").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
