"""Folders in an object store: conditional puts, locks that die with their holders, errors."""

import os
import subprocess
import sys
import time

import pytest

from peakatlas.atlas.storage import leases, objects
from peakatlas.atlas.storage.objects import Objects
from peakatlas.atlas.storage.urls import local_path, writable_storage
from peakatlas.engine.errors import AtlasError, MissingDependencyError, ShardOwnershipError
from tests.s3_server import fetched


@pytest.fixture
def url(server, request):
    return f"{server}/{request.node.name.partition('[')[0]}"


@pytest.fixture
def storage(url):
    return writable_storage(url)


def test_an_object_is_put_on_a_condition(url):
    held = Objects.open(url)
    first = held.create("a", b"1")
    assert first is not None
    assert held.create("a", b"2") is None
    second = held.replace("a", b"3", first)
    assert second is not None
    assert held.replace("a", b"4", first) is None
    assert held.replace("absent", b"4", first) is None
    found = held.read("a")
    assert (found.data, found.version) == (b"3", second)
    assert abs(found.changed - time.time()) < 30
    assert abs(held.check()) < 30
    assert list(fetched(url)) == ["a"]


def test_files_are_written_and_read(storage):
    storage.write_files({"b/c": [b"12", memoryview(b"3")], "b/.d": [b""], "e": [b"x"]})
    storage.write_files({"e": [b"y"]})
    assert storage.names() == ["b", "e"]
    assert storage.names("b") == [".d", "c"]
    assert storage.names("absent") == []
    assert (storage.size("b/c"), storage.read_bytes("b/c")) == (3, b"123")
    assert storage.read_bytes("e") == b"y"
    assert storage.read_ranges([("b/c", 1, 3)]) == [b"23"]
    assert not storage.exists("b/absent")
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("absent")
    assert storage.local_path() is None


def test_a_folder_loses_what_a_dead_writer_left_of_it(storage):
    storage.write_files({"s/old": [b"1"], "s/plan": [b"2"]})
    storage.write_folder("s", {"new": b"3", "plan": b"4"})
    assert storage.names("s") == ["new", "plan"]
    assert storage.read_bytes("s/plan") == b"4"


def test_a_lock_is_one_writers(url, storage):
    other = writable_storage(url)
    with storage.locked("s/log/claim"):
        assert storage.holder("s/log/claim").startswith(f"process {os.getpid()} on ")
        with pytest.raises(ShardOwnershipError, match=rf"claim is held .*process {os.getpid()} on"):
            other.locked("s/log/claim").__enter__()
        with other.locked("s/log/other"):
            pass
    assert storage.holder("s/log/claim") == ""
    with other.locked("s/log/claim"):
        pass
    storage.sweep("s")
    assert fetched(url) == {}


def test_a_lock_is_waited_for(url, storage):
    import threading  # noqa: PLC0415

    entered, order = threading.Event(), []

    def hold():
        with writable_storage(url).locked("l"):
            entered.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    with storage.locked("l", wait=True):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_a_lock_of_a_dead_process_is_free_at_once(url, storage):
    code = (
        "import os, signal, sys\n"
        "from peakatlas.atlas.storage.urls import writable_storage\n"
        "lock = writable_storage(sys.argv[1]).locked('l')\n"
        "lock.__enter__()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", code, url], timeout=60, check=False)
    assert died.returncode == -9
    assert "process" in storage.holder("l")
    with storage.locked("l"):
        assert storage.holder("l").startswith(f"process {os.getpid()} ")


def test_a_lock_that_nobody_refreshes_is_taken_over_and_its_holder_finds_out(
    url, storage, monkeypatch
):
    sleeper = writable_storage(url)
    with pytest.raises(ShardOwnershipError, match="was taken over"), sleeper.locked("l"):
        monkeypatch.setattr(leases, "LEASE_S", -5.0)
        with storage.locked("l"):
            storage.write_files({"s/file": [b"theirs"]})
        sleeper.write_folder("s", {"plan": b"mine"})
    assert storage.read_bytes("s/file") == b"theirs"
    assert storage.names("s") == ["file"]


def test_a_lock_is_refreshed_while_it_is_held(url, storage, monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.02)
    held = Objects.open(url)
    with storage.locked("l"):
        before = held.read(".l.held").data
        until = time.monotonic() + 10
        while held.read(".l.held").data == before and time.monotonic() < until:
            time.sleep(0.02)
        assert held.read(".l.held").data != before


def test_a_store_without_conditions_is_refused(url, monkeypatch):
    put = Objects._put
    monkeypatch.setattr(Objects, "_put", lambda self, name, data, mode: put(
        self, name, data, "overwrite"))  # fmt: skip
    with pytest.raises(AtlasError, match="takes no notice of conditions of a write"):
        writable_storage(url).locked("l").__enter__()
    monkeypatch.undo()
    assert fetched(url) == {}


def test_what_is_missing_is_named(server, monkeypatch):
    with pytest.raises(AtlasError, match="s3://nobody/a: there is no such bucket"):
        writable_storage("s3://nobody/a").names()
    with pytest.raises(AtlasError, match="s3://nobody/a: there is no such bucket"):
        writable_storage("s3://nobody/a").locked("l").__enter__()
    with pytest.raises(AtlasError, match=r"s3://, gs://, az://\), not to https://"):
        writable_storage("https://host/a")
    import botocore.session  # noqa: PLC0415 (may be absent)

    monkeypatch.setattr(botocore.session.Session, "get_credentials", lambda self: None)
    with pytest.raises(AtlasError, match=r"no credentials are to be found\. Set AWS_ACCESS_KEY_ID"):
        writable_storage(f"{server}/a")


def test_a_server_that_does_not_answer_is_named(server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(objects, "_RETRIES", {"max_retries": 0})
    with pytest.raises(AtlasError, match=r"the store does not answer .* AWS_ENDPOINT_URL"):
        writable_storage(f"{server}/a").names()


def test_an_absent_package_is_named(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'peakatlas\[remote\]'"):
        writable_storage(f"{server}/a")


def test_paths_and_urls_are_told_apart(tmp_path):
    assert local_path(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert local_path(tmp_path) == local_path(str(tmp_path)) == tmp_path
    assert local_path("s3://bucket/a") is None
