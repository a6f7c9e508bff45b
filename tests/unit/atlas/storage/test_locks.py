"""Locks where flock works, is refused, does nothing, or was left by a process that is gone."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from peakatlas.atlas.storage import locks
from peakatlas.atlas.storage.local import LocalStorage
from peakatlas.atlas.storage.locks import locked
from peakatlas.engine.errors import AtlasError, ShardOwnershipError

TREE = Path(__file__).parents[4]


def test_a_lock_is_held_once_and_names_its_holder(tmp_path):
    with (
        locked(tmp_path, "part"),
        pytest.raises(ShardOwnershipError, match=rf"by another process \(process {os.getpid()} on"),
        locked(tmp_path, "part"),
    ):
        pass
    with locked(tmp_path, "part"), locked(tmp_path, "other"):
        pass


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, None])
def test_the_marker_alone_keeps_processes_apart(tmp_path, monkeypatch, code):
    def flock(descriptor, operation):
        if code:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path, "part"), pytest.raises(ShardOwnershipError), locked(tmp_path, "part"):
        pass
    with locked(tmp_path, "part"):
        pass


def test_a_disk_that_fails_is_not_taken_for_a_lack_of_locks(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(AtlasError, match="Input/output error"), locked(tmp_path, "part"):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, monkeypatch):
    hold = (
        "import os, sys\nfrom pathlib import Path\n"
        "from peakatlas.atlas.storage.locks import locked\n"
        "with locked(Path(sys.argv[1]), 'part'):\n    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", hold, str(tmp_path)], cwd=TREE, check=False)
    assert (tmp_path / ".part.held").exists()
    with locked(tmp_path, "part"):
        pass
    assert not (tmp_path / ".part.held").exists()


def foreign_marker(path):
    """A marker such as another machine writes."""
    fields = {
        "pid": 1, "host": "other", "mode": "lease", "token": "aa", "duration": locks.LEASE_S,
    }  # fmt: skip
    path.write_text("filelock/2\n" + "".join(f"{key}={value}\n" for key, value in fields.items()))


@pytest.mark.parametrize("content", ["foreign", "\0\0\0\0", "filelock/2\npid="])
def test_only_a_marker_that_is_not_refreshed_is_taken_over(tmp_path, content):
    marker = tmp_path / ".part.held"
    foreign_marker(marker) if content == "foreign" else marker.write_text(content)
    with pytest.raises(ShardOwnershipError), locked(tmp_path, "part"):
        pass
    long_ago = time.time() - locks.LEASE_S - 1
    os.utime(marker, (long_ago, long_ago))
    with locked(tmp_path, "part"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".part.lock"]


def test_a_marker_that_says_nothing_is_waited_for(tmp_path, monkeypatch):
    """Its process was killed between making and writing it, or is about to write."""
    monkeypatch.setattr(locks, "BLANK_S", 0.3)
    marker = tmp_path / ".part.held"
    marker.touch()
    with locked(tmp_path, "part"):
        assert "pid" in marker.read_text()
    marker.touch()
    written = threading.Timer(0.1, foreign_marker, [marker])
    written.start()
    with pytest.raises(ShardOwnershipError, match="process 1 on other"), locked(tmp_path, "part"):
        pass
    written.join()


def test_the_holder_of_a_foreign_marker_is_named(tmp_path):
    foreign_marker(tmp_path / ".part.held")
    with pytest.raises(ShardOwnershipError, match="process 1 on other"), locked(tmp_path, "part"):
        pass


def test_the_lock_of_a_killed_process_that_nobody_waited_for_is_taken_over(tmp_path):
    hold = (
        "import os, sys\nfrom pathlib import Path\n"
        "from peakatlas.atlas.storage.locks import locked\n"
        "with locked(Path(sys.argv[1]), 'part'):\n    os.kill(os.getpid(), 9)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], cwd=TREE)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    with locked(tmp_path, "part"):
        pass
    process.wait()


def test_what_a_killed_lock_breaker_leaves_is_swept(tmp_path):
    """`filelock` renames a dead holder's marker before it removes it; a kill between leaves it."""
    log = tmp_path / "segment-0000" / "log"
    log.mkdir(parents=True)
    gone = [tmp_path / ".atlas.held.break.8288.97", log / ".claim-00000.held.break.15.4f"]
    kept = [tmp_path / ".atlas.held", log / "00000.json"]
    for path in (*gone, *kept):
        path.touch()
    LocalStorage(tmp_path).sweep("segment-0000")
    assert [path.exists() for path in gone] == [False, False]
    assert [path.exists() for path in kept] == [True, True]
