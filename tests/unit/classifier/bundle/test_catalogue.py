"""Bundles are found by path or by name; what comes with peakatlas is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from peakatlas.classifier.bundle.bundle import Bundle
from peakatlas.classifier.bundle.card import read_card
from peakatlas.classifier.bundle.catalogue import SHIPPED, cached, find_bundle, known_bundles
from peakatlas.classifier.ontology.cell_ontology import cell_ontology

ALL = sorted(SHIPPED.glob("*/"))


@pytest.mark.parametrize("folder", ALL, ids=[folder.name for folder in ALL])
def test_what_is_shipped_is_whole_small_and_licensed(folder):
    bundle, card = Bundle.load(folder.name), read_card(folder)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3_000_000
    assert card.licence in ("MIT", "CC-BY-4.0", "CC0-1.0", "Apache-2.0")
    assert card.build in ("hg19", "hg38", "mm10") and len(card.source) > 20
    assert bundle.peaks.contigs[0].startswith("chr")
    for term in bundle.term_ids:
        assert cell_ontology().label(term)
    assert bundle.provenance["read"]["genome"] is None  # no path of a machine
    assert bundle.held_out["by_level"]["lineage"]["accuracy"] > 0.9


def test_a_bundle_ships():
    assert "pbmc-51-genes-hg38" in known_bundles()


def test_names_are_of_the_cache_too_and_paths_come_first(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    bundle.save(cached() / "mine")
    (cached() / ".mine.aside").mkdir()
    assert find_bundle("mine") == cached() / "mine"
    assert set(known_bundles()) == {"mine", *(folder.name for folder in ALL)}
    assert Bundle.load("mine").types == bundle.types
    (tmp_path / "mine").mkdir()
    assert find_bundle("mine") == Path("mine")
    for other in ("other", "../mine", "a/b", ""):
        assert find_bundle(other) == Path(other)
