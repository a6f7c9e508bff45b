import pytest
from hypothesis import given
from hypothesis import strategies as st

from peakatlas.atlas.format.shard_lists import parse_shards, shown_shards
from peakatlas.engine.errors import AtlasError


@given(st.sets(st.integers(0, 60), min_size=1, max_size=20))
def test_what_is_shown_can_be_given_back(shards):
    assert parse_shards(shown_shards(sorted(shards))) == sorted(shards)


def test_runs_of_three_are_ranges():
    assert shown_shards([0, 1, 5, 6, 7, 9]) == "0, 1, 5-7, 9"


def test_a_long_list_is_cut():
    shown = shown_shards(range(0, 100, 2))
    assert shown.endswith(", 38, …")
    assert shown.count(",") == 20


@pytest.mark.parametrize(
    "text", ["", "a", "1,,2", "3-1", "-1", "1.5", "1 2", "0-99999999999", "9" * 5000, "²"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(AtlasError, match=r"is not a list of shards.*Example: --shard 0-15,20"):
        parse_shards(text)
