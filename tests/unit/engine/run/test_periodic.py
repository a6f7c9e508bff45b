"""Work beside other work: again and again, until it says so or the block ends."""

import threading

import pytest

from peakatlas.engine.run.periodic import repeated


def test_work_goes_on_until_it_says_so():
    calls, ended = [], threading.Event()

    def work():
        calls.append(threading.current_thread())
        if len(calls) == 3:
            ended.set()
            return False
        return True

    with repeated(0.001, work):
        assert ended.wait(10)
    assert len(calls) == 3
    assert threading.current_thread() not in calls


def test_it_ends_with_the_block_whatever_ends_it():
    before = threading.active_count()
    with pytest.raises(ValueError, match="of the block"), repeated(60, lambda: True):
        assert threading.active_count() == before + 1
        raise ValueError("of the block")
    assert threading.active_count() == before
