"""A save that is cut short leaves the earlier bundle, or none; never one that is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peakatlas.atlas.storage import atomic as files
from peakatlas.classifier.bundle.bundle import Bundle
from peakatlas.classifier.bundle.folder import SETTINGS_FILE, arrays_path, check_bundle_folder
from peakatlas.engine.errors import BundleError


class Cut(BaseException):
    """Stands for a signal."""


def cut_at(monkeypatch, n: int) -> None:
    """Raise at the n-th renaming of a file from now on."""
    whole, times = files.Path.replace, iter(range(n + 1))

    def rename(path, target):
        if next(times) == n:
            raise Cut
        return whole(path, target)

    monkeypatch.setattr(files.Path, "replace", rename)


@pytest.mark.parametrize("n", [0, 1])
def test_a_save_cut_short_leaves_the_earlier_bundle(bundle, tmp_path, monkeypatch, n):
    folder = tmp_path / "b"
    bundle.save(folder)
    before = arrays_path(folder)
    cells = replace(bundle.reference, counts=bundle.reference.counts * 2)
    other = replace(bundle, reference=cells, provenance={"other": 1})
    with monkeypatch.context() as patch:
        cut_at(patch, n)
        with pytest.raises(Cut):
            other.save(folder)
    assert "other" not in Bundle.load(folder).provenance
    other.save(folder)
    assert Bundle.load(folder).provenance == {"other": 1}
    assert arrays_path(folder) != before
    assert sorted(path.name for path in folder.iterdir()) == [
        arrays_path(folder).name, SETTINGS_FILE,
    ]  # fmt: skip


@pytest.mark.parametrize("n", [0, 1])
def test_a_first_save_cut_short_can_be_done_again(bundle, tmp_path, monkeypatch, n):
    with monkeypatch.context() as patch:
        cut_at(patch, n)
        with pytest.raises(Cut):
            bundle.save(tmp_path / "b")
    with pytest.raises(BundleError, match="is not a bundle"):
        Bundle.load(tmp_path / "b")
    check_bundle_folder(tmp_path / "b")
    bundle.save(tmp_path / "b")
    assert Bundle.load(tmp_path / "b").types == bundle.types


def test_a_file_is_no_folder_for_a_bundle(tmp_path):
    (tmp_path / "b").write_text("mine")
    with pytest.raises(BundleError, match=r"b exists and is not a bundle. Give another folder."):
        check_bundle_folder(tmp_path / "b")
