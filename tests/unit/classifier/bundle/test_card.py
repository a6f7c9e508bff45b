"""Cards say what a bundle cannot say of itself, and belong to one bundle."""

from __future__ import annotations

import pytest
import yaml

from peakatlas.classifier.bundle.card import (
    CARD_FILE,
    Card,
    bundle_files,
    read_card,
    write_card,
)
from peakatlas.classifier.bundle.folder import arrays_path
from peakatlas.engine.errors import BundleError

CARD = Card(source="Smith 2025: a | b", licence="CC-BY-4.0", build="hg38", limits=("No tumours.",))


@pytest.fixture
def folder(bundle, tmp_path):
    bundle.save(tmp_path / "toy")
    return tmp_path / "toy"


def test_a_card_is_read_as_it_was_written(folder):
    assert read_card(folder) is None
    write_card(folder, CARD)
    found = read_card(folder)
    assert (found.source, found.licence, found.build) == (CARD.source, "CC-BY-4.0", "hg38")
    assert found.limits == ("No tumours.",) and found.arrays == arrays_path(folder).name
    assert found.describe() == "hg38; licence CC-BY-4.0; Smith 2025: a | b"


def test_a_card_has_what_the_hub_and_a_reader_look_for(folder, bundle):
    write_card(folder, CARD)
    text = (folder / CARD_FILE).read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "cc-by-4.0" and front["library_name"] == "peakatlas"
    for kind in bundle.types:
        assert f"| {kind} | unknown | 60 |" in text
    assert f"accuracy {bundle.held_out['accuracy']:.3f}" in text
    assert "Peaks: 240, 48,000 bp on 1 contigs" in text
    assert "- No tumours." in text and "Held-out cells are of the same experiment" in text


def test_a_card_of_another_bundle_is_none(folder, bundle, reference):
    write_card(folder, CARD)
    text = (folder / CARD_FILE).read_text()
    (folder / CARD_FILE).write_text(text.replace("arrays: arrays-", "arrays: arrays-0"))
    assert read_card(folder) is None


@pytest.mark.parametrize(
    "text",
    [
        "# no front matter",
        "---\npeakatlas: 3\n---\n",
        "---\npeakatlas: {source: a}\n---\n",
        "---\n- a\n---\n",
        "---\n[\n---\n",
        "---\na: &a {b: c}\npeakatlas: {<<: *a}\n---\n",
        "---\npeakatlas: !!python/object/apply:os.system [id]\n---\n",
    ],
)
def test_what_is_no_card_is_none(folder, text):
    (folder / CARD_FILE).write_text(text)
    assert read_card(folder) is None


def test_a_card_needs_source_licence_and_build(folder, tmp_path):
    with pytest.raises(BundleError, match="a card needs the source"):
        write_card(folder, Card(source=" ", licence="MIT", build="hg38"))
    with pytest.raises(BundleError, match="not a bundle"):
        write_card(tmp_path, CARD)


def test_files_of_a_bundle_are_named(folder, tmp_path):
    assert bundle_files(folder) == ["bundle.json", arrays_path(folder).name]
    write_card(folder, CARD)
    assert bundle_files(folder)[2:] == [CARD_FILE]
    with pytest.raises(BundleError, match="is not a bundle"):
        bundle_files(tmp_path)
