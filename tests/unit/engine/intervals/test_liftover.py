"""Intervals lift as base by base; what does not is told apart and keeps its row."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakatlas.engine.errors import ContigError, IntervalError
from peakatlas.engine.intervals.liftover import MIN_MATCH, STATUSES, ChainFile
from peakatlas.engine.intervals.table import Intervals

# Old chr1 0-100 -> new chrA 50-150; 120-200 -> 150-230 (20 bp deleted); 200-300 -> 240-340 (10 bp
# inserted). Old chr1 400-500 -> the reverse strand of chrB (1000 bp), 100-200, which is 800-900.
# Old chr2 0-60 twice: to chrA 500-560 and to chrB 0-60.
TEXT = """# made by hand
chain 900 chr1 1000 + 0 300 chrA 2000 + 50 340 1
100 20 0
80 0 10
100

chain 500 chr1 1000 + 400 500 chrB 1000 - 100 200 2
100
chain 50 chr2 80 + 0 60 chrA 2000 + 500 560 3
60

chain 40 chr2 80 + 0 60 chrB 1000 + 0 60 4
60
"""


def chain(folder: Path, text: str = TEXT, name: str = "aToB.chain") -> ChainFile:
    (folder / name).write_text(text)
    return ChainFile(folder / name)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("chr1:0-100", "chrA:50-150"),
        ("chr1:10-20", "chrA:60-70"),
        ("chr1:100-150", None),  # 30 of 50 bases
        ("chr1:119-160", "chrA:150-190"),  # the deleted base at the end is no more
        ("chr1:80-300", None),  # 20 of 220 bases are deleted: 0.91
        ("chr1:150-250", "chrA:180-290"),  # grows by what was inserted
        ("chr1:400-500", "chrB:800-900"),
        ("chr1:410-420", "chrB:880-890"),
        ("chr1:490-530", None),
        ("chr1:310-320", None),
        ("chr1:990-5000", None),
        ("chr2:10-20", None),
    ],
)
def test_one_interval(tmp_path, old, new):
    contig, _, bounds = old.partition(":")
    start, end = map(int, bounds.split("-"))
    found = chain(tmp_path).lift(Intervals.from_columns([contig], [start], [end]))
    expected = new or f"{contig} (not lifted by aToB.chain):{bounds}"
    assert found.intervals.names() == [expected]
    assert found.lifted.tolist() == [new is not None]


def test_what_is_not_lifted_is_told_apart(tmp_path):
    starts, ends = [100, 290, 310, 10, 0], [150, 410, 320, 20, 100]
    given = Intervals.from_columns(["chr1"] * 3 + ["chr2", "chr1"], starts, ends)
    found = chain(tmp_path).lift(given)
    assert [STATUSES[code] for code in found.status] == [
        "partial", "split", "deleted", "duplicated", "lifted",
    ]  # fmt: skip
    assert found.counts() == dict.fromkeys(STATUSES, 1)
    assert found.describe() == (
        "1 lifted, 2 split (chr1:290-410, chr2:10-20), 2 lost (chr1:100-150, chr1:310-320)"
    )
    assert found.intervals.start[:4].tolist() == starts[:4]


def test_min_match_decides(tmp_path):
    file = chain(tmp_path)
    peak = Intervals.from_columns(["chr1"], [100], [150])
    assert not file.lift(peak, min_match=0.61).lifted[0]
    assert file.lift(peak, min_match=0.6).intervals.names() == ["chrA:150-180"]
    for wrong in (0, 1.1):
        with pytest.raises(ValueError, match=r"min_match must lie in \(0, 1\]"):
            file.lift(peak, min_match=wrong)


def test_describes_only_the_first_five(tmp_path):
    given = Intervals.from_columns(["chr1"] * 7, np.arange(7) + 600, np.arange(7) + 700)
    text = chain(tmp_path).lift(given).describe()
    assert text.startswith("0 lifted, 0 split, 7 lost (chr1:600-700, ")
    assert text.endswith("chr1:604-704, …)")


def test_gzip_and_plain_are_alike_and_nothing_lifts_to_nothing(tmp_path):
    (tmp_path / "c.gz").write_bytes(gzip.compress(TEXT.encode()))
    peak = Intervals.from_columns(["chr1"], [410], [420])
    assert ChainFile(tmp_path / "c.gz").lift(peak).intervals.names() == ["chrB:880-890"]
    none = ChainFile(tmp_path / "c.gz").lift(Intervals.from_columns([], [], []))
    assert (len(none.intervals), none.describe()) == (0, "0 lifted, 0 split, 0 lost")


def test_contigs_of_another_style(tmp_path):
    file = chain(tmp_path)
    peak = Intervals.from_columns(["1", "7"], [410, 5], [420, 9])
    with pytest.raises(ContigError) as caught:
        file.lift(peak)
    assert str(caught.value) == (
        "aToB.chain has none of the contigs 1, 7; it has chr1, chr2. "
        "Only the naming style differs: use --match-contigs."
    )
    with pytest.raises(ContigError, match=r"the contigs 1; .* --match-contigs"):
        file.lift(Intervals.from_columns(["1", "chr2"], [410, 5], [420, 9]))
    found = file.lift(peak, match_contigs=True)
    assert found.intervals.names() == ["chrB:880-890", "7 (not lifted by aToB.chain):5-9"]
    with pytest.raises(ContigError, match="Give the chain file from the build"):
        file.lift(Intervals.from_columns(["chrQ"], [0], [1]), match_contigs=True)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: not a chain file: no line begins with 'chain'"),
        ("chr1\t5\t6\nchain", "line 1: not a chain file"),
        ("chain 9 chr1 10\n5\n", "line 1: a chain that cannot be used (its header has 4 fields"),
        (TEXT.replace("+ 0 300", "- 0 300"), "line 2: a chain that cannot be used (its strands"),
        (TEXT.replace("80 0 10\n", ""), "its blocks do not end where its header says"),
        (TEXT.replace("80 0 10", "80 0"), "each of its lines must have three numbers"),
        (
            TEXT.replace("80 0 10", "80 0 x"),
            "line 2: a chain that cannot be used ('x' is not a whole",
        ),
        (TEXT.replace("80 0 10", "90 -10 0"), "'-10' is not a whole number of 0 or more"),
    ],
)
def test_faulty_files(tmp_path, text, fault):
    with pytest.raises(IntervalError) as caught:
        chain(tmp_path, text)
    assert fault in str(caught.value)


def test_absent_and_truncated_files(tmp_path):
    with pytest.raises(IntervalError, match=r"none\.chain: no such file"):
        ChainFile(tmp_path / "none.chain")
    (tmp_path / "c.gz").write_bytes(gzip.compress(TEXT.encode())[:-9])
    with pytest.raises(IntervalError, match=r"c\.gz: truncated or damaged gzip data"):
        ChainFile(tmp_path / "c.gz")


def test_dressing_is_left_out(tmp_path):
    peaks = Intervals.from_columns(["chr1", "chr1", "chr2"], [10, 420, 0], [20, 430, 60])
    expected = chain(tmp_path).lift(peaks).intervals.names()
    dressed = TEXT.replace("80 0 10", "# a gap\n\n  80\t0\t10  \n#chain 1").replace("\n", "\r\n")
    for text in (dressed, "\ufeff" + dressed, dressed.replace("\r\n", "\r")):
        assert chain(tmp_path, text).lift(peaks).intervals.names() == expected


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("chr1 1000 + 0 300", "chr1 200 + 0 300", "its bounds do not lie within its contigs"),
        ("chrA 2000 + 50 340", "chrA 2000 + 50 3_40", "'3_40' is not a whole number"),
        ("80 0 10\n100", "80 0\n10 100", "each of its lines must have three numbers"),
        ("80 0 10", f"{10**30} 0 10", "is not a whole number"),
        ("80 0 10", "900 0 10", "a block is longer than its chain"),
        ("100\nchain 50", "100\nchains 50", "line 7: a chain that cannot be used (each of"),
    ],
)
def test_numbers_are_those_of_the_format(tmp_path, old, new, fault):
    with pytest.raises(IntervalError) as caught:
        chain(tmp_path, TEXT.replace(old, new))
    assert fault in str(caught.value)


gaps = st.tuples(st.integers(1, 12), st.integers(0, 6), st.integers(0, 6))
drawn_chains = st.tuples(
    st.sampled_from(["chr1", "chr2"]),
    st.integers(0, 40),
    st.sampled_from(["chrA", "chrB"]),
    st.integers(0, 40),
    st.sampled_from("+-"),
    st.lists(gaps, min_size=1, max_size=5),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(drawn_chains, min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30)), min_size=1, max_size=20),
    st.sampled_from([0.1, 0.5, MIN_MATCH, 1.0]),
)
def test_lifts_as_base_by_base(tmp_path_factory, chains, peaks, min_match):
    text, maps = "", []
    for old, old_at, new, new_at, strand, blocks in chains:
        blocks = [*blocks[:-1], (blocks[-1][0], 0, 0)]  # noqa: PLW2901 - the last has no gap
        base: dict[int, int] = {}
        o, n = old_at, new_at
        for size, old_gap, new_gap in blocks:
            base |= {o + i: n + i if strand == "+" else 999 - n - i for i in range(size)}
            o, n = o + size + old_gap, n + size + new_gap
        maps.append((old, new, base))
        text += f"chain 1 {old} 1000 + {old_at} {o} {new} 1000 {strand} {new_at} {n} 1\n"
        text += "".join(f"{a}\t{b}\t{c}\n" for a, b, c in blocks[:-1]) + f"{blocks[-1][0]}\n\n"
    starts, widths = zip(*peaks, strict=True)
    old = chains[0][0]
    given_peaks = Intervals.from_columns([old] * len(peaks), starts, np.add(starts, widths))
    file = chain(tmp_path_factory.mktemp("c"), text)
    found = file.lift(given_peaks, min_match=min_match)
    for row, (start, width) in enumerate(peaks):
        hits = [
            (new, [base[i] for i in range(start, start + width) if i in base])
            for contig, new, base in maps
            if contig == old
        ]
        good = [(new, at) for new, at in hits if at and len(at) >= min_match * width]
        assert bool(found.lifted[row]) == (len(good) == 1)
        if len(good) == 1:
            new, at = good[0]
            assert found.intervals.names()[row] == f"{new}:{min(at)}-{max(at) + 1}"
        else:
            some = sum(bool(at) for _, at in hits)
            expected = "duplicated" if good else ("deleted", "partial", "split")[min(some, 2)]
            assert STATUSES[found.status[row]] == expected
