"""Bundles are fetched whole or not at all, and published with a card."""

from __future__ import annotations

import fsspec
import pytest

from peakatlas.classifier.bundle import exchange
from peakatlas.classifier.bundle.bundle import Bundle
from peakatlas.classifier.bundle.card import CARD_FILE, Card, write_card
from peakatlas.classifier.bundle.catalogue import cached
from peakatlas.classifier.bundle.exchange import get_bundle, publish_bundle
from peakatlas.classifier.bundle.folder import SETTINGS_FILE, arrays_path
from peakatlas.engine.errors import BundleError

CARD = Card(source="Smith 2025", licence="MIT", build="hg38")


@pytest.fixture
def folder(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bundle.save(tmp_path / "toy")
    write_card(tmp_path / "toy", CARD)
    return tmp_path / "toy"


@pytest.fixture
def url(folder):
    memory = fsspec.filesystem("memory")
    for file in folder.iterdir():
        memory.pipe(f"/bundles/toy/{file.name}", file.read_bytes())
    yield "memory://bundles/toy"
    memory.rm("/bundles", recursive=True)


def same(one, other) -> bool:
    return {f.name: f.read_bytes() for f in one.iterdir()} == {
        f.name: f.read_bytes() for f in other.iterdir()
    }


def test_a_folder_and_an_url_give_the_same_files(folder, url):
    (folder / "other.txt").write_text("not of the bundle")
    found = get_bundle(str(folder), "mine")
    assert found.folder == cached() / "mine"
    again = get_bundle(url, sha256=found.digest.upper())
    assert again.folder == cached() / "toy" and again.digest == found.digest
    (folder / "other.txt").unlink()
    assert same(found.folder, folder) and same(again.folder, folder)


def test_the_hub_gives_them_too(folder, monkeypatch):
    asked = []

    def download(hub_id, name, *, revision):
        asked.append((hub_id, name, revision))
        return str(folder / name)

    monkeypatch.setattr(exchange, "hf_hub_download", download)
    found = get_bundle("someone/toy", revision="v1")
    assert same(found.folder, folder)
    files = (SETTINGS_FILE, arrays_path(folder).name, CARD_FILE)
    assert asked == [("someone/toy", name, "v1") for name in files]


def test_a_name_that_is_taken_or_cannot_be_is_refused(folder):
    get_bundle(str(folder))
    with pytest.raises(BundleError, match="is there already"):
        get_bundle(str(folder))
    assert get_bundle(str(folder), force=True).folder.is_dir()
    with pytest.raises(BundleError, match="comes with peakatlas"):
        get_bundle(str(folder), "pbmc-51-genes-hg38")
    for name in ("../up", ".hidden", "a b"):
        with pytest.raises(BundleError, match="cannot be the name"):
            get_bundle(str(folder), name)


def test_what_is_damaged_or_another_leaves_nothing(folder, tmp_path):
    with pytest.raises(BundleError, match=r"the SHA-256 of bundle.json is [0-9a-f]{64}, not 00"):
        get_bundle(str(folder), sha256="00")
    arrays = arrays_path(folder)
    data = arrays.read_bytes()
    arrays.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(BundleError, match="SHA-256 differs"):
        get_bundle(str(folder))
    arrays.unlink()
    with pytest.raises(BundleError, match="is not there: it is no bundle"):
        get_bundle(str(folder))
    with pytest.raises(BundleError, match="is no folder, no URL and no hub id"):
        get_bundle(str(tmp_path / "absent"), "x")
    assert not [*cached().glob("*"), *cached().glob(".*")]


def test_a_file_that_is_too_long_is_refused(folder, url, monkeypatch):
    monkeypatch.setattr(exchange, "MOST_ARRAYS", 10)
    for source in (str(folder), url):
        with pytest.raises(BundleError, match="bytes"):
            get_bundle(source, "long")


class Hub:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.done: dict[str, object] = {}

    def create_repo(self, hub_id, **how):
        self.done["repo"] = (hub_id, how)

    def upload_folder(self, **how):
        self.done |= how
        return "https://hub/commit"


def test_a_bundle_is_published_with_its_card_alone(folder):
    hub = Hub()
    assert publish_bundle(folder, "me/toy", private=True, api=hub) == "https://hub/commit"
    assert hub.done["repo"] == ("me/toy", {"private": True, "exist_ok": True})
    assert hub.done["allow_patterns"] == [SETTINGS_FILE, arrays_path(folder).name, CARD_FILE]


def test_without_a_card_or_a_name_nothing_is_published(folder):
    hub = Hub()
    with pytest.raises(BundleError, match="is not of the form owner/name"):
        publish_bundle(folder, "toy", api=hub)
    (folder / CARD_FILE).unlink()
    with pytest.raises(BundleError, match="has no card that belongs to it"):
        publish_bundle(folder, "me/toy", api=hub)
    assert not hub.done and Bundle.load(folder)
