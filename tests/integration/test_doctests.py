"""The examples of the public names run on small packaged data and print what they say."""

from __future__ import annotations

import shutil

import pytest
from doctests import WITH_FILES, modules_with_examples, run_examples

import peakatlas

PLOTS = "peakatlas.pl"


@pytest.fixture(scope="module")
def work(desk, tmp_path_factory):
    return shutil.copytree(desk, tmp_path_factory.mktemp("examples") / "work")


@pytest.mark.parametrize("name", sorted(WITH_FILES))
def test_examples_of_public_names_print_what_they_say(work, monkeypatch, name):
    if name == PLOTS:
        pytest.importorskip("matplotlib", reason="peakatlas.pl needs matplotlib").use("agg")
    monkeypatch.chdir(work)
    assert run_examples(name) >= 1


def test_every_public_name_has_an_example():
    assert set(modules_with_examples()) >= WITH_FILES
    for name in peakatlas.__all__:
        assert ">>> " in (getattr(peakatlas, name).__doc__ or ""), name
