"""Cache files: whole or made again, the longest unused evicted."""

import os
import time

import pytest

from peakatlas.atlas.storage import cache
from peakatlas.atlas.storage.cache import evict, is_kept, keep
from peakatlas.engine.errors import AtlasError


def put(path, n_bytes=10):
    keep(path, lambda aside: aside.write_bytes(b"x" * n_bytes))
    return path


def used(path, days_ago):
    then = time.time() - days_ago * 86_400
    os.utime(path, (then, then))


def test_a_file_is_kept_as_it_was_written(tmp_path):
    path = put(tmp_path / "folder" / "a")
    assert is_kept(path)
    assert path.read_bytes()[:10] == b"x" * 10
    assert [p.name for p in path.parent.iterdir()] == ["a"]
    assert not is_kept(tmp_path / "folder" / "b")


@pytest.mark.parametrize("damage", [b"", b"x", lambda data: data[:-1], lambda data: data[5:]])
def test_a_damaged_file_is_not(tmp_path, damage):
    path = put(tmp_path / "a")
    path.write_bytes(damage(path.read_bytes()) if callable(damage) else damage)
    assert not is_kept(path)


def test_use_is_noted_and_the_time_of_change_stays(tmp_path):
    path = put(tmp_path / "a")
    used(path, 10)
    before = path.stat()
    assert is_kept(path)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_atime > before.st_atime + 9 * 86_400


def test_the_longest_unused_go(tmp_path, monkeypatch):
    for days, name in ((100, "old"), (50, "late"), (3, "new")):
        used(put(tmp_path / name), days)
    (tmp_path / ".DS_Store").touch()
    evict(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"late", "new", ".DS_Store"}
    size = (tmp_path / "new").stat().st_size
    monkeypatch.setattr(cache, "MOST_BYTES", 2 * size)
    put(tmp_path / "newest")
    assert {path.name for path in tmp_path.iterdir()} == {"newest", "new", ".DS_Store"}
    put(tmp_path / "huge", 10 * size)  # what is wanted now stays, whatever its size
    assert {path.name for path in tmp_path.iterdir()} == {"huge", ".DS_Store"}


def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AtlasError, match="cannot write"):
        put(tmp_path / "file" / "a")
