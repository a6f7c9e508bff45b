"""The pipeline keeps order, bounds what waits, and hands on errors."""

import threading

import pytest

from peakatlas.engine.run.pipeline import run_pipeline


def test_order_is_kept_and_stages_run_in_three_threads():
    out, threads = [], [set(), set(), set()]

    def stage(number, value):
        threads[number].add(threading.get_ident())
        return value

    run_pipeline(
        range(20),
        prepare=lambda i: stage(0, i * 2),
        compute=lambda i: stage(1, i + 1),
        consume=lambda i: out.append(stage(2, i)),
    )
    assert out == [i * 2 + 1 for i in range(20)]
    assert threads[1] == {threading.get_ident()}
    assert len(threads[0] | threads[1] | threads[2]) == 3


def test_no_more_than_depth_units_wait_on_each_side():
    prepared, consumed, lead = [], [], []
    run_pipeline(
        range(30),
        prepare=prepared.append,
        compute=lambda _: lead.append(len(prepared) - len(consumed)),
        consume=consumed.append,
        depth=3,
    )
    assert len(consumed) == 30
    assert max(lead) <= 2 * 3 + 2


@pytest.mark.parametrize("stage", ["prepare", "compute", "consume"])
def test_the_first_error_is_raised_and_later_units_are_dropped(stage):
    seen = []

    def fail(value):
        seen.append(value)
        if value == 2:
            raise ValueError("unit 2")
        return value

    stages = {name: (lambda v: v) for name in ("prepare", "compute", "consume")} | {stage: fail}
    with pytest.raises(ValueError, match="unit 2"):
        run_pipeline(range(100), **stages)
    assert len(seen) < 12


def test_nothing_to_do():
    run_pipeline([], prepare=int, compute=int, consume=int)
