"""The examples in docstrings that need no files print what they say."""

import pytest
from doctests import WITH_FILES, modules_with_examples, run_examples

ALONE = sorted(set(modules_with_examples()) - WITH_FILES)


@pytest.mark.parametrize("name", ALONE)
def test_examples_print_what_they_say(name):
    assert run_examples(name) >= 1


def test_many_modules_have_examples():
    assert len(ALONE) >= 30
    assert "peakatlas.engine.forward.packing" in ALONE and "peakatlas" in ALONE
