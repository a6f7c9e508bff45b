"""Readers of text against slow plain ones: any input is read alike, or refused by PeakAtlasError.

``PEAKATLAS_FUZZ_SECONDS`` says how long all of it may take, 3 s if not set; each reader gets the
same share. Inputs are drawn from ``default_rng`` with a seed of the reader and a running number, so
that what fails once fails again. The last test prints how many inputs each reader had.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from peakatlas.classifier.counts.barcode_lists import read_barcodes
from peakatlas.classifier.counts.fragments import FragmentReader
from peakatlas.engine.dna.fasta import IndexedFasta
from peakatlas.engine.errors import PeakAtlasError
from peakatlas.engine.intervals.liftover import ChainFile
from peakatlas.engine.intervals.readers import read_bed
from peakatlas.engine.intervals.table import Intervals

SECONDS = float(os.environ.get("PEAKATLAS_FUZZ_SECONDS", "3"))
COUNTS: Counter[str] = Counter()
REFUSED: Counter[str] = Counter()
Rng = np.random.Generator


def pick(rng: Rng, *choices: str) -> str:
    return choices[int(rng.integers(len(choices)))]


def rarely(rng: Rng, text: str, share: float = 0.05) -> str:
    return text if rng.random() < share else ""


def blanks(rng: Rng) -> str:
    return rarely(rng, pick(rng, " ", "  ", "\t"), 0.04)


def number(rng: Rng) -> str:
    odd = pick(rng, "", "-3", "1e3", "1,000", "4.0", "+7", "x", "\u0663", "9" * 30, "007", "1_0")
    return odd if rng.random() < 0.01 else str(int(rng.integers(0, 400)))


def dressed(rng: Rng, lines: list[str]) -> bytes:
    """Lines as a file: any ends, marks, damage and packing."""
    end = pick(rng, "\n", "\n", "\n", "\r\n", "\r")
    text = end.join(lines) + pick(rng, end, end, "", end * 3)
    encoding = pick(rng, *["utf-8"] * 8, "utf-8-sig", "utf-16")
    data = text.encode(encoding)
    if data and rng.random() < 0.1:
        at = int(rng.integers(len(data)))
        data = data[:at] + bytes(rng.integers(0, 256, 1).tolist()) + data[at + 1 :]
    if rng.random() < 0.1:
        data = gzip.compress(data, 1)
        if rng.random() < 0.2:
            data = data[: int(rng.integers(len(data)))]
    return data


def plain_text(path: Path, errors: str = "strict") -> str | None:
    """Text of a file by the plainest means; None where there is none to read."""
    data = path.read_bytes()
    try:
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        is_utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig", errors)
    except Exception:  # whatever gzip or a codec says
        return None
    return None if "\0" in text else re.sub("\r\n|\r", "\n", text)


def campaign(kind: str, path: Path, one: Callable[[Rng, Path], bool]) -> None:
    """Many inputs of a kind; `one` says whether an input was refused."""
    until, seed = time.monotonic() + SECONDS / 5, 0
    while time.monotonic() < until or seed < 50:
        rng = np.random.default_rng([sum(kind.encode()), seed])
        try:
            REFUSED[kind] += one(rng, path)
        except Exception as fault:
            fault.add_note(f"{kind} number {seed}: {path.read_bytes()[:2000]!r}")
            raise
        seed += 1
        COUNTS[kind] += 1


def plain_bed(text: str) -> list[tuple[str, int, int]] | None:
    rows = []
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped or stripped[0] == "#" or stripped.split()[0] in ("track", "browser"):
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        if len(fields) < 3:
            fields = line.split()
        fields = [field.strip(" \ufeff\xa0").strip("\"'") for field in fields[:3]]
        if len(fields) < 3 or not fields[0]:
            return None
        if not all(re.fullmatch(r"[+]?[0-9]{1,18}", field) for field in fields[1:]):
            return None
        rows.append((fields[0], int(fields[1]), int(fields[2])))
    return rows if rows and all(start < end for _, start, end in rows) else None


def one_bed(rng: Rng, path: Path) -> bool:
    lines = []
    tab = pick(rng, "\t", "\t", " ")
    for _ in range(int(rng.integers(0, 6))):
        chrom = pick(rng, "chr1", "7", "chrUn_1", '"chr2"') + rarely(rng, " ")
        start, end = sorted((int(rng.integers(400)), int(rng.integers(400))))
        fields = [chrom, number(rng) if rng.random() < 0.1 else str(start), str(end + 1)]
        fields += ["name", "5", "+"][: int(rng.integers(4))]
        lines.append(blanks(rng).replace("\t", "") + (blanks(rng) + tab).join(fields) + blanks(rng))
        lines += [pick(rng, "# c", "", "track x=1", "browser hide", "  # d")] * (rng.random() < 0.1)
    path.write_bytes(dressed(rng, lines))
    text = plain_text(path)
    expected = None if text is None else plain_bed(text)
    try:
        found = read_bed(path)
    except PeakAtlasError:
        # A change of one byte may make a header or BEDPE of a line, which are refused with a word.
        return True
    assert expected is not None, found.names()
    assert found.names() == [f"{chrom}:{start}-{end}" for chrom, start, end in expected]
    return False


def plain_fragments(text: str) -> list[tuple[str, int, int, str]] | None:
    rows, width = [], 0
    for line in text.split("\n"):
        fields = [field.strip(" ") for field in line.removeprefix("\ufeff").split("\t")]
        if fields == [""] or fields[0].startswith("#"):
            continue
        if len(fields) < 4 or width not in (0, len(fields)) or not fields[0] or not fields[3]:
            return None
        if "\ufffd" in fields[0] + fields[3]:
            return None
        width = len(fields)
        if not all(re.fullmatch(r"[0-9]{1,16}", field) for field in fields[1:3]):
            return None
        if int(fields[1]) >= int(fields[2]) or re.search("[\x00-\x08]", line):
            return None
        rows.append((fields[0], int(fields[1]), int(fields[2]), fields[3]))
    return rows or None


def one_fragments(rng: Rng, path: Path) -> bool:
    lines = ["# id=1 x"] * int(rng.integers(2))
    reads = [pick(rng, "1", "2")] * int(rng.integers(2))
    for _ in range(int(rng.integers(0, 8))):
        start = int(rng.integers(400))
        fields = [pick(rng, "chr1", "2"), str(start), str(start + int(rng.integers(1, 90)))]
        fields += [pick(rng, "AAAC-1", "s 1_CC", "R1,R2", "a" * 20), *reads]
        if rng.random() < 0.05:
            fields[int(rng.integers(len(fields)))] = number(rng)
        lines.append((blanks(rng).replace("\t", "") + "\t").join(fields) + rarely(rng, " "))
        lines += [pick(rng, "#late", "")] * (rng.random() < 0.1)
    path.write_bytes(dressed(rng, lines))
    text = plain_text(path, "replace")  # what stands after the barcode does not matter
    expected = None if text is None else plain_fragments(text)
    reader = FragmentReader(path, any_order=True, block_bytes=int(rng.integers(3, 200)))
    try:
        found = [
            (reader.contigs[c], int(start), int(end), reader.barcodes[b])
            for block in reader.blocks()
            for c, b, start, end in zip(
                block.contig_ids, block.barcode_ids, block.start, block.end, strict=True
            )
        ]
    except PeakAtlasError:
        is_utf16 = path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")
        packed = path.read_bytes()[:2] == b"\x1f\x8b"
        assert expected is None or is_utf16 or packed, expected
        return True
    assert found == expected
    return False


def plain_fasta(text: str) -> dict[str, str] | None:
    records: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        stripped = line.strip(" \t\v\f")
        if not stripped or stripped[0] == ";":
            continue
        if stripped[0] == ">":
            words = re.split(r"[ \t\n\r\v\f]+", stripped[1:].strip(" \t\v\f"))
            name = words[0]
            if not name or name in records or "\ufffd" in name:
                return None
            records[name] = ""
            continue
        letters = re.sub("[ \t\v\f]", "", stripped)
        if not name or not re.fullmatch("[A-Za-z*-]+", letters):
            return None
        records[name] += letters.upper().replace("U", "T")
    return records if records and all(records.values()) else None


def one_fasta(rng: Rng, path: Path) -> bool:
    lines = []
    for record in range(int(rng.integers(0, 4))):
        lines.append(f">{rarely(rng, ' ')}r{record}{pick(rng, '', ' x', chr(9) + 'y')}")
        width, size = int(rng.integers(1, 9)), int(rng.integers(0, 30))
        letters = "".join(rng.choice(list("ACGTNacgtn"), size))
        lines += [letters[i : i + width] + rarely(rng, " ", 0.01) for i in range(0, size, width)]
        lines += [pick(rng, "", ";c", "ACGTACGTACGTA", "7", "A C")] * (rng.random() < 0.1)
    path.write_bytes(dressed(rng, lines))
    os.utime(path, ns=(0, int(rng.integers(2**60))))  # the cache knows files by their time
    if rng.random() < 0.01:
        shutil.rmtree(path.parent / "cache", ignore_errors=True)
    text = plain_text(path)
    utf16 = path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")
    expected = None if text is None or utf16 else plain_fasta(text)
    try:
        opened = IndexedFasta(path)
        sizes = np.array(list(opened.sizes.values()))
        record = rng.integers(0, len(sizes), 20)
        start = rng.integers(0, sizes[record])
        end = rng.integers(start, sizes[record]) + 1
        found = opened.fetch(record, start, end)
    except PeakAtlasError:
        assert expected is None or path.read_bytes()[:2] == b"\x1f\x8b", expected
        return True
    if expected is None:  # bytes beyond UTF-8 in the text after a name do no harm
        assert text is None
        return False
    assert dict(opened.sizes) == {name: len(letters) for name, letters in expected.items()}
    rows = list(expected.values())
    assert [found[i] for i in range(20)] == [
        rows[r][a:b] for r, a, b in zip(record, start, end, strict=True)
    ]
    return False


def one_chain(rng: Rng, path: Path) -> bool:
    """A chain file without a damaged byte lifts each base as a walk along its blocks does."""
    lines, moved = [], {}
    at, new_at = int(rng.integers(50)), int(rng.integers(50))
    begin, new_begin, blocks = at, new_at, []
    for _ in range(int(rng.integers(1, 5))):
        size, gap, new_gap = (int(rng.integers(low, 20)) for low in (1, 0, 0))
        moved |= {at + i: new_at + i for i in range(size)}
        blocks.append([size, gap, new_gap])
        at, new_at = at + size + gap, new_at + size + new_gap
    at, new_at = at - blocks[-1][1], new_at - blocks[-1][2]
    strand = pick(rng, "+", "-")
    lines.append(f"chain 1 a 500 + {begin} {at} b 600 {strand} {new_begin} {new_at} 1")
    for size, gap, new_gap in blocks[:-1]:
        lines.append(pick(rng, "\t", " ").join(map(str, (size, gap, new_gap))) + blanks(rng))
        lines += [pick(rng, "#c", "", "  # d")] * (rng.random() < 0.2)
    lines.append(f"{blocks[-1][0]}{rarely(rng, ' ')}")
    if is_damaged := rng.random() < 0.3:
        row = int(rng.integers(len(lines)))
        lines[row] = pick(rng, lines[row] + " 5", number(rng), "chain", "", lines[row][:-1] + "x")
        path.write_bytes(dressed(rng, lines))
    else:
        path.write_text("\ufeff" + "\n".join(lines))
    try:
        found = ChainFile(path)
        bases = Intervals.from_columns(["a"] * 200, np.arange(200), np.arange(200) + 1)
        lifted = found.lift(bases)
    except PeakAtlasError:
        assert is_damaged
        return True
    if not is_damaged:
        assert np.flatnonzero(lifted.lifted).tolist() == sorted(moved)
        for old, new in moved.items():
            start = 599 - new if strand == "-" else new
            assert int(lifted.intervals.start[old]) == start
    return False


def one_barcodes(rng: Rng, path: Path) -> bool:
    barcodes = [pick(rng, "AAAC-1", "R1.01,R2.02,P1.05", "s 1_x", "ACGTACGT") for _ in range(4)]
    is_table = rng.random() < 0.5
    cells = rng.random(4) < 0.7
    if is_table:
        rows = [f'"{name}",{int(cell)},9' for name, cell in zip(barcodes, cells, strict=True)]
        lines = ["barcode,is__cell_barcode,total", "NO_BARCODE,0,5", *rows]
        expected = [name for name, cell in zip(barcodes, cells, strict=True) if cell]
    else:
        lines, expected = [name + rarely(rng, " ") for name in barcodes], barcodes
    lines += [pick(rng, "", "# c")] * int(rng.integers(2))
    is_damaged = rng.random() < 0.3
    path.write_bytes(dressed(rng, lines) if is_damaged else "\r\n".join(lines).encode("utf-8-sig"))
    try:
        found = read_barcodes(path)
    except PeakAtlasError:
        assert is_damaged or not expected
        return True
    assert is_damaged or found == expected
    return False


READERS = {
    "bed": one_bed,
    "fragments": one_fragments,
    "fasta": one_fasta,
    "chain": one_chain,
    "barcodes": one_barcodes,
}


@pytest.mark.parametrize("kind", READERS)
def test_reader(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    campaign(kind, tmp_path / "input", READERS[kind])


def test_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(json.dumps({"inputs": dict(COUNTS), "refused": dict(REFUSED)}))
    assert all(REFUSED[kind] < COUNTS[kind] for kind in COUNTS)
