"""Atlases written by every version of the format are read to the bit; see tests/data/archives."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from peakatlas.atlas import Atlas
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.atlas.format.schema import (
    FORMAT_VERSION,
    INT8_VERSION,
    NEWEST_VERSION,
    seal_manifest,
)
from peakatlas.atlas.storage.atomic import json_bytes
from peakatlas.engine.errors import AtlasError

FOLDER = Path(__file__).parents[2] / "data" / "archives"
VERSIONS = sorted(path.name[6:-7] for path in FOLDER.glob("atlas-*.tar.gz"))


@pytest.fixture
def unpacked(tmp_path, request):
    with tarfile.open(FOLDER / f"atlas-{request.param}.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / "atlas.zarr", json.loads((FOLDER / f"atlas-{request.param}.json").read_text())


def test_every_version_has_an_archive():
    assert {"1.0", "2.0", FORMAT_VERSION, INT8_VERSION, NEWEST_VERSION} == set(VERSIONS)


@pytest.mark.parametrize("unpacked", VERSIONS, indirect=True)
def test_an_archive_is_read_to_the_bit(unpacked):
    path, known = unpacked
    with Atlas.open(path) as atlas:
        assert atlas.provenance["format_version"] == known["format_version"]
        assert atlas.intervals.names() == known["intervals"]
        rows = [[np.nan] * 4 if row is None else row for row in known["embedding"]]
        np.testing.assert_array_equal(atlas.gather(np.arange(5)), np.array(rows, np.float32))
        assert [bytes(row).hex() for row in atlas.digests] == known["digest"]
        assert atlas.n_fraction.tolist() == known["n_fraction"]
        assert atlas.state.tolist() == known["state"]
        assert atlas.spec.digest == known["spec_digest"]
        assert atlas.provenance["genome"] == known["genome"]
        assert atlas.provenance["model"] == known["model"]


@pytest.mark.parametrize("unpacked", VERSIONS, indirect=True)
def test_an_archive_is_sound(unpacked):
    report = verify_atlas(unpacked[0], deep=True)
    assert report.ok, [fault.line("") for fault in report.faults]
    assert report.facts["n_rows"] == 5


@pytest.mark.parametrize("unpacked", ["1.0", "1.1"], indirect=True)
def test_the_values_are_those_of_the_script(unpacked):
    """The known values themselves, independent of any reader."""
    _, known = unpacked
    assert known["embedding"][1] == [-1.5, -1.125, -0.75, -0.375]
    assert known["embedding"][2] is None
    assert known["state"] == [1, 1, 2, 1, 1]
    assert known["digest"][0] == bytes(range(0, 48, 3)).hex()


@pytest.mark.parametrize("unpacked", VERSIONS, indirect=True)
@pytest.mark.parametrize("document", ["manifest.json", "segment-0000/plan.json"])
def test_a_newer_major_is_refused_naming_both_versions(unpacked, document):
    path, _ = unpacked
    values = json.loads((path / document).read_text()) | {"format_version": "3.4"}
    sealed = seal_manifest(values) if document == "manifest.json" else values
    data = json_bytes(sealed)
    (path / document).write_bytes(data)
    with pytest.raises(AtlasError, match=r"version 3\.4, this software reads up to 2\.1\. Install"):
        Atlas.open(path)


@pytest.mark.parametrize("unpacked", VERSIONS, indirect=True)
def test_what_a_newer_minor_adds_is_ignored(unpacked):
    path, known = unpacked
    major = known["format_version"].split(".")[0]
    manifest = json.loads((path / "manifest.json").read_text())
    manifest |= {"format_version": f"{major}.9", "novelty": {"a": 1}}
    (path / "manifest.json").write_bytes(json_bytes(seal_manifest(manifest)))
    assert len(Atlas.open(path)) == 5
    assert verify_atlas(path, deep=True).ok


@pytest.mark.parametrize("unpacked", VERSIONS, indirect=True)
def test_checksums_of_chunks_are_listed_since_1_1(unpacked):
    path, known = unpacked
    listed = json.loads((path / "manifest.json").read_text())["segments"][0]["files"]
    rows = {name for name in listed if "/c/" in name}
    with_sums = {name for name, file in listed.items() if "crc32c" in file}
    assert with_sums == (rows if known["format_version"].endswith(".1") else set())


@pytest.mark.parametrize("unpacked", VERSIONS, indirect=True)
def test_arrays_are_laid_out_as_the_specification_says(unpacked):
    path, known = unpacked
    embedding = ("embedding", "float16", "NaN") if known["format_version"] < "2" else (
        "embedding_int8", "int8", -128)  # fmt: skip
    table = [embedding, ("digest", "uint8", 0), ("n_fraction", "float32", "NaN"),
             ("state", "uint8", 0)]  # fmt: skip
    for name, dtype, fill in table:
        held = json.loads((path / "segment-0000" / name / "zarr.json").read_text())
        (sharding,) = held["codecs"]
        inside = sharding["configuration"]
        assert (held["data_type"], held["fill_value"]) == (dtype, fill)
        assert sharding["name"] == "sharding_indexed"
        assert [codec["name"] for codec in inside["codecs"]] == ["bytes", "crc32c"]
        assert [codec["name"] for codec in inside["index_codecs"]] == ["bytes", "crc32c"]
        assert inside["index_location"] == "end"
    for name, dtype in (("contig", "int32"), ("start", "int64"), ("end", "int64")):
        held = json.loads((path / "segment-0000/intervals" / name / "zarr.json").read_text())
        assert (held["data_type"], held["fill_value"]) == (dtype, -1)
        codecs, packed = held["codecs"], known["format_version"].endswith(".1")
        if packed:
            codecs = codecs[0]["configuration"]["codecs"]
            assert codecs[1]["configuration"]["cname"] == "zstd"
            assert codecs[1]["configuration"]["shuffle"] == "shuffle"
        names = ["bytes", "blosc", "crc32c"] if packed else ["bytes", "crc32c"]
        assert [codec["name"] for codec in codecs] == names


@pytest.mark.parametrize("unpacked", VERSIONS, indirect=True)
def test_metadata_name_dimensions_contigs_and_licence_since_1_1(unpacked):
    path, known = unpacked
    segment = path / "segment-0000"
    group = json.loads((segment / "zarr.json").read_text())
    digest = json.loads((segment / "digest" / "zarr.json").read_text())
    intervals = json.loads((segment / "intervals" / "zarr.json").read_text())
    if known["format_version"].endswith(".0"):
        assert group["attributes"] == intervals["attributes"] == {}
        assert digest.get("dimension_names") is None
        return
    assert group["attributes"]["model"]["licence"] == "MIT"
    assert group["attributes"]["format_version"] == known["format_version"]
    assert intervals["attributes"] == {"contigs": ["chr1", "chr2"], "contig_bp": [2000, 100]}
    assert digest["dimension_names"] == ["row", "digest_byte"]
    inside = group["consolidated_metadata"]["metadata"]
    assert inside["digest"] == digest
    assert len(inside) == 8


def test_the_specification_names_the_versions_there_are():
    text = (Path(__file__).parents[3] / "atlas" / "FORMAT.md").read_text()
    named = f"{', '.join(VERSIONS[:-1])} and {VERSIONS[-1]}"
    assert text.startswith(f"# The atlas format, versions {named}\n")
