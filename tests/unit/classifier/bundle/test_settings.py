"""Settings of a bundle that comes from elsewhere."""

import json

import pytest

from peakatlas.classifier.bundle.settings import read_settings
from peakatlas.engine.errors import BundleError
from tests.atlas_tools import toy_spec

GOOD = {
    "format": "peakatlas-bundle",
    "format_version": 5,
    "levels": {
        "columns": ["lineage", "type"],
        "types": [["L", "M"], ["B", "Mono", "T"]],
        "members": [[0, 1, 0], [0, 1, 2]],
    },
    "contigs": ["chr1"],
    "spec": toy_spec().to_json(),
    "spec_digest": toy_spec().digest,
    "batches": ["a"],
    "method": "default",
    "held_out": {"accuracy": 0.5},
    "provenance": {"cells": 3},
    "arrays_file": "arrays-0123456789abcdef.safetensors",
    "arrays_sha256": "0" * 64,
}


def read(**changes):
    return read_settings(json.dumps(GOOD | changes).encode(), "b/bundle.json", 5)


def test_good_settings_are_read():
    settings = read(later={"a": 1})
    assert settings.levels.types[1] == ["B", "Mono", "T"]
    assert settings.embedding_spec() == toy_spec()
    assert read(spec=None, spec_digest=None).embedding_spec() is None


LEVELS = GOOD["levels"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format_version": 4}, "format version 4, and this peakatlas reads version 5"),
        ({"format_version": "5"}, "format version 5, and this peakatlas reads version 5"),
        ({"arrays_file": "../../arrays.safetensors"}, "a text of another form .*arrays_file"),
        ({"arrays_file": "/etc/passwd"}, "a text of another form .*arrays_file"),
        ({"arrays_sha256": "x"}, "a text of another form .*arrays_sha256"),
        ({"format": "other"}, "Invalid enum value 'other'"),
        ({"contigs": {"chr1": 1}}, "Expected `array`, got `object`"),
        ({"levels": LEVELS | {"members": [[0, 1, 2], [0, 1, 2]]}}, "one type of each level"),
        ({"levels": LEVELS | {"members": [[0, 1], [0, 1, 2]]}}, "one type of each level"),
        ({"levels": LEVELS | {"members": [[0, -1, 0], [0, 1, 2]]}}, "Expected `int` >= 0"),
        ({"levels": LEVELS | {"columns": ["type"]}}, "differ in length"),
        ({"levels": LEVELS | {"types": [["L", "L"], ["B", "Mono", "T"]]}}, "twice in one level"),
        ({"spec_digest": "0" * 64}, "spec_digest does not fit spec"),
        ({"spec": GOOD["spec"] | {"dim": 10**12}}, "spec is none .*dim 1000000000000 is not"),
        ({"spec": GOOD["spec"] | {"evil": 1}}, "spec is none .*unknown: evil"),
    ],
)
def test_what_contradicts_itself_is_refused(changes, text):
    with pytest.raises(BundleError, match=text):
        read(**changes)
