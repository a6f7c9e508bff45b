"""Outputs are prepared before the work, and whole or absent after it."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from peakatlas.cli.outputs import check_apart, check_bundle_place, check_writable, written_whole
from peakatlas.engine.errors import PeakAtlasError


def refusal(path: Path, kind=None) -> str:
    with pytest.raises(PeakAtlasError) as caught:
        check_writable(path, kind)
    return str(caught.value)


def write(path: Path, text: str = "new") -> None:
    with written_whole(path) as aside:
        aside.write_text(text)


def test_a_place_that_takes_a_file_passes_and_stays_empty(tmp_path):
    check_writable(tmp_path / "o.h5ad", "cells")
    check_writable(tmp_path / "o.unknown", "cells")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "kind", "ending"),
    [
        ("o.zarr", "cells", ".h5ad"),
        ("o.H5MU", "cells", ".h5ad"),
        ("o.h5ad.gz", "cells", ".h5ad"),
        ("o.h5ad", "page", ".html"),
        ("o.pdf", "page", ".html"),
        ("o.html", "table", ".tsv"),
        ("o.csv", "table", ".tsv"),
        ("o.bed", "table", ".tsv"),
        ("o.csv", "intervals", ".bed"),
    ],
)
def test_a_name_of_another_kind_is_refused(name, kind, ending, tmp_path):
    assert refusal(tmp_path / name, kind).endswith(f"Give a name that ends in {ending}.")


@pytest.mark.parametrize("name", ["-", " "])
def test_a_name_that_is_none_is_refused(name, tmp_path):
    assert f"{name}' is no name of a file" in refusal(tmp_path / name)


def test_folders_that_are_none_or_take_no_file(tmp_path):
    assert "there is no folder" in refusal(tmp_path / "none/o.h5ad")
    (tmp_path / "file").write_text("x")
    assert "there is no folder" in refusal(tmp_path / "file/o.h5ad")
    assert "is a folder; a file is expected there" in refusal(tmp_path)
    assert "takes no file" in refusal(Path("/proc/o.h5ad"))
    assert "cannot be written" in refusal(tmp_path / ("n" * 300))


def test_devices_pipes_and_sockets_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe; a file is expected there" in refusal(tmp_path / "pipe")
    assert "is a device; a file is expected there" in refusal(Path("/dev/null"))


def test_a_file_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "o.h5ad").write_text("kept")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert "is there and may not be written" in refusal(tmp_path / "o.h5ad")


def test_links_are_followed(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "o.h5ad"
    link.symlink_to(tmp_path / "far/real.h5ad")
    check_writable(link)  # what it points to is not there yet
    write(link)
    assert link.is_symlink() and (tmp_path / "far/real.h5ad").read_text() == "new"
    (tmp_path / "broken").symlink_to(tmp_path / "none/at/all")
    assert "there is no folder" in refusal(tmp_path / "broken")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be written" in refusal(tmp_path / "loop")


def test_outputs_are_apart_from_inputs_and_from_each_other(tmp_path):
    given, other = tmp_path / "in.tsv", tmp_path / "other.tsv"
    given.write_text("kept")
    (tmp_path / "link").symlink_to(given)
    os.link(given, tmp_path / "hard")
    check_apart([other, None], [given, "s3://bucket/atlas", "-", None, [given]])
    for same in (given, tmp_path / "x/../in.tsv", tmp_path / "link", tmp_path / "hard"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(PeakAtlasError, match="is an input"):
            check_apart([same], [[other, given]])
    with pytest.raises(PeakAtlasError, match="is named for two outputs"):
        check_apart([other, tmp_path / "x/../other.tsv"])


def test_outputs_are_not_put_into_an_input(tmp_path):
    (tmp_path / "atlas.zarr").mkdir()
    with pytest.raises(PeakAtlasError, match="lies inside"):
        check_apart([tmp_path / "atlas.zarr/o.h5ad"], [str(tmp_path / "atlas.zarr")])
    (tmp_path / "10x").mkdir()
    (tmp_path / "10x/matrix.mtx.gz").write_text("m")
    (tmp_path / "10x/b_barcodes.tsv").write_text("b")
    check_apart([tmp_path / "10x/o.h5ad"], [tmp_path / "10x"])
    for source in (tmp_path / "10x", tmp_path / "10x/matrix.mtx.gz"):
        with pytest.raises(PeakAtlasError, match="is an input"):
            check_apart([tmp_path / "10x/b_barcodes.tsv"], [source])


def test_a_bundle_is_made_where_its_folder_can_be(tmp_path):
    check_bundle_place(tmp_path / "a/b/c")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("x")
    with pytest.raises(PeakAtlasError, match="file is a file"):
        check_bundle_place(tmp_path / "file/bundle")
    with pytest.raises(PeakAtlasError, match="takes no file"):
        check_bundle_place(Path("/proc/none/bundle"))


def test_a_failure_leaves_what_stood_there(tmp_path):
    out = tmp_path / "o.txt"
    out.write_text("old")
    with pytest.raises(ZeroDivisionError), written_whole(out) as aside:
        aside.write_text("half")
        _ = 1 / 0
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["o.txt"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("Can't write data (file write failed: errno = 28, error message = 'No space')"),
        RuntimeError("Can't decrement id ref count (unable to extend file, errno = 28)"),
    ],
)
def test_a_full_disk_is_called_so(error, tmp_path):
    with pytest.raises(PeakAtlasError) as caught, written_whole(tmp_path / "o.h5ad"):
        raise error
    assert str(caught.value).endswith(
        "o.h5ad cannot be written: no space left on device. Make room, or give another path."
    )
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (PeakAtlasError("mine"), RuntimeError("none of the system's"), KeyError("k")):
        with pytest.raises(type(error)) as caught, written_whole(tmp_path / "o"):
            raise error
        assert caught.value is error


def test_the_mode_is_that_of_the_umask_or_of_what_is_replaced(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "old").write_text("x")
    (tmp_path / "old").chmod(0o604)
    write(tmp_path / "old")
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o604


def test_two_writers_at_once_both_end_with_a_whole_file(tmp_path):
    out = tmp_path / ("long" * 40 + ".txt")
    with written_whole(out) as first:
        with written_whole(out) as second:
            assert first != second
            first.write_text("first" * 100)
            second.write_text("second" * 100)
        assert out.read_text() == "second" * 100
    assert out.read_text() == "first" * 100
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_what_a_killed_writer_left_is_swept_and_what_a_live_one_has_is_not(tmp_path):
    code = (
        "import os, sys, pathlib; from peakatlas.cli.outputs import written_whole\n"
        "with written_whole(pathlib.Path(sys.argv[1])) as aside:\n"
        "    aside.write_text('half'); os.kill(os.getpid(), 9)\n"
    )
    out = tmp_path / "o.txt"
    done = subprocess.run([sys.executable, "-c", code, str(out)], check=False)
    assert done.returncode == -9 and len(list(tmp_path.iterdir())) == 1
    with written_whole(out) as live:
        assert [path.name for path in tmp_path.iterdir()] == [live.name]
        write(out)
        assert live.exists()


def test_a_long_name_of_wide_letters_takes_a_file(tmp_path):
    out = tmp_path / ("\u7d30" * 80 + ".h5ad")
    write(out, "old")
    write(out)
    assert out.read_text() == "new"
    assert list(tmp_path.iterdir()) == [out]
