"""What a file is, by its content, however it is dressed; damage is no kind."""

from __future__ import annotations

import gzip

import pytest

from peakatlas.cli.kinds import kind_of

BED, FASTA = "chr1\t5\t9\n", ">chr1\nACGT\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("text", "kind"), [(BED, "intervals"), (FASTA, "fasta")])
def test_dress(tmp_path, text, kind, end, encoding, pack):
    path = tmp_path / "file"
    for lead in ("", "\n\n"):
        path.write_bytes(pack((lead + text).replace("\n", end).encode(encoding)))
        assert kind_of(path) == kind


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1f\x8b",
        gzip.compress(BED.encode(), mtime=0)[:12] + b"\xff" * 9,
        b"\xff\xfea",
        b"\0",
    ],
)
def test_damage_is_no_kind(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    assert kind_of(tmp_path / "file") is None


@pytest.mark.parametrize("text", ["[]", "3", '{"attributes": null}', "[" * 100_000, "\xff"])
def test_documents_of_strangers_are_no_kind(tmp_path, text):
    for name in ("manifest.json", "zarr.json", ".zattrs"):
        (tmp_path / name).write_text(text)
    assert kind_of(tmp_path) is None
