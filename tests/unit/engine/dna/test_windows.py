"""Windows worked out by hand, and digests that need no model."""

import hashlib

import numpy as np
import pytest

from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.dna.windows import parse_window, window_digests
from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.readers import parse_names


@pytest.mark.parametrize(
    ("rule", "peak", "windows"),
    [
        ("centre:10", "a:100-120", ["a:105-115"]),
        ("centre:7", "a:100-103", ["a:98-105"]),
        ("centre:20", "a:2-6", ["a:0-14"]),
        ("centre:20", "a:193-199", ["a:186-200"]),
        ("peak:10:4", "a:30-37", ["a:30-37"]),
        ("peak:10:4", "a:30-40", ["a:30-40"]),
        ("peak:10:4", "a:30-41", ["a:30-40", "a:31-41"]),
        ("peak:10:4", "a:30-46", ["a:30-40", "a:36-46"]),
        ("peak:10:4", "a:30-47", ["a:30-40", "a:36-46", "a:37-47"]),
    ],
)
def test_cut(rule, peak, windows):
    cut = parse_window(rule).cut(parse_names([peak]), {"a": 200})
    assert cut.intervals.names() == windows
    assert cut.owner.tolist() == [0] * len(windows)


def test_owners_follow_the_peaks():
    cut = parse_window("peak:10:4").cut(parse_names(["b:0-5", "a:30-47", "b:1-9"]), None)
    assert cut.owner.tolist() == [0, 1, 1, 1, 2]
    assert cut.intervals.chrom.tolist() == ["b", "a", "a", "a", "b"]


@pytest.mark.parametrize("text", ["centre", "centre:x", "peak:510", "middle:5", "centre:-4", ""])
def test_an_unknown_rule_is_refused_with_examples(text):
    with pytest.raises(IntervalError, match=r"Examples: centre:510, peak:510:60"):
        parse_window(text)


def test_an_overlap_as_wide_as_the_window_is_refused():
    with pytest.raises(IntervalError, match=r"overlap from 0 to below the width"):
        parse_window("peak:60:60")


def test_window_digests_are_of_the_letters_not_of_the_place(tmp_path):
    path = tmp_path / "g.fa"
    path.write_text(">a\nACGTACGTACGTacgt\n>b\nTTTTACGTACGTGGGG\n")
    peaks = parse_names(["a:4-12", "b:4-12", "a:5-13", "a:0-16"])
    digests = window_digests(peaks, open_genome(path), "peak:8:0")
    one = hashlib.blake2b(b"ACGTACGT", digest_size=16).digest()
    assert digests[0].tobytes() == digests[1].tobytes() == one
    assert digests[2].tobytes() == hashlib.blake2b(b"CGTACGTA", digest_size=16).digest()
    assert digests[3].tobytes() == hashlib.blake2b(one + one, digest_size=16).digest()
    assert digests.dtype == np.uint8


@pytest.mark.parametrize("text", ["centre:99999999999999999999", "peak:2000000000:60"])
def test_windows_wider_than_any_contig_are_refused(text):
    with pytest.raises(IntervalError, match="1,073,741,824 at most"):
        parse_window(text)
