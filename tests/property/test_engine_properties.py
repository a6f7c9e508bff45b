"""Properties of packing, windows, names and sequences over generated input."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.dna.windows import WindowRule, combine_digests
from peakatlas.engine.forward.packing import pack
from peakatlas.engine.intervals.readers import parse_names
from peakatlas.engine.intervals.table import Intervals

CONTIGS = st.sampled_from(["chr1", "HLA-A*01:01", "chrUn_KI270742v1", "NC_000001.11", "2"])
PEAKS = st.lists(
    st.tuples(CONTIGS, st.integers(0, 10**9), st.integers(1, 5000)), min_size=1, max_size=30
).map(lambda rows: Intervals.from_columns(*zip(*((c, s, s + w) for c, s, w in rows), strict=True)))


@given(st.lists(st.integers(1, 400), max_size=80), st.integers(1, 600))
def test_packs_hold_every_row_once_within_the_budget(lengths, budget):
    packs = pack(lengths, budget)
    assert sorted(row for rows in packs for row in rows.tolist()) == list(range(len(lengths)))
    sizes = [sum(lengths[row] for row in rows) for rows in packs]
    assert all(size <= budget or len(rows) == 1 for size, rows in zip(sizes, packs, strict=True))


@given(PEAKS, st.sampled_from([":-", "--", "__"]))
def test_names_come_back_in_every_style(peaks, separators):
    first, second = separators
    names = [
        f"{c}{first}{s}{second}{e}"
        for c, s, e in zip(peaks.chrom, peaks.start, peaks.end, strict=True)
    ]
    assert parse_names(names) == peaks


@given(PEAKS, st.integers(1, 700), st.integers(0, 699))
@settings(deadline=None)
def test_windows_of_a_peak_cover_it_within_width_and_overlap(peaks, width, overlap):
    overlap %= width
    cut = WindowRule(kind="peak", width=width, overlap=overlap).cut(peaks)
    assert np.array_equal(np.unique(cut.owner), np.arange(len(peaks)))
    for row in range(len(peaks)):
        mine = cut.intervals.take(cut.owner == row)
        assert mine.start[0] == peaks.start[row]
        assert mine.end[-1] == peaks.end[row]
        assert (mine.widths == min(width, peaks.widths[row])).all()
        assert (mine.end[:-1] - mine.start[1:] >= overlap).all()
        least = 1 + max(0, -(-(int(peaks.widths[row]) - width) // (width - overlap)))
        assert len(mine) == least


@given(PEAKS, st.integers(1, 900))
def test_centred_windows_hold_the_centre_and_stay_on_the_contig(peaks, width):
    sizes = {name: int(peaks.end.max()) for name in peaks.contigs}
    cut = WindowRule(kind="centre", width=width).cut(peaks, sizes).intervals
    assert (cut.start <= peaks.centres).all()
    assert (peaks.centres < cut.end).all()
    assert (cut.start >= 0).all()
    assert (cut.end <= peaks.end.max()).all()
    assert (cut.widths <= width).all()


@given(st.lists(st.text("ACGTNacgtnRY", max_size=20), min_size=1, max_size=8), st.data())
def test_sequences_behave_like_a_list_of_strings(texts, data):
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=9))
    dna = Sequences.from_strings(texts)
    taken = dna.take(rows)
    assert [taken[i] for i in range(len(taken))] == [texts[row].upper() for row in rows]
    flipped = dna.reverse_complement()
    table = str.maketrans("ACGTNRY", "TGCANYR")
    assert [flipped[i] for i in range(len(dna))] == [
        t.upper().translate(table)[::-1] for t in texts
    ]
    owner = np.arange(len(texts))
    assert np.array_equal(combine_digests(dna.digests(), owner, len(texts)), dna.digests())
