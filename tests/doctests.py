"""Run the examples of a module's docstrings."""

from __future__ import annotations

import doctest
import importlib

from doc_blocks import ROOT

import peakatlas

ROOMS = ("engine", "atlas", "classifier", "peakatlas")
WITH_FILES = {
    *(f"peakatlas{module}" for module in peakatlas._MODULE_OF.values()),
    "peakatlas.atlas.exchange",
    "peakatlas.notebook.tl",
    "peakatlas.notebook.pl",
}
"""Modules of the public names: their examples read files, which lie where they are run."""


def modules_with_examples() -> list[str]:
    """Dotted names of the modules whose text holds an example."""
    return sorted(
        ".".join(("peakatlas", *path.relative_to(ROOT).with_suffix("").parts))
        .replace("peakatlas.peakatlas", "peakatlas")
        .removesuffix(".__init__")
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if ">>> " in path.read_text("utf-8")
    )


def run_examples(name: str) -> int:
    """Run the examples of a module; how many there were.

    Raises
    ------
    AssertionError
        If an example prints something else; the output says which.
    """
    done = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert done.failed == 0, f"{done.failed} of {done.attempted} examples of {name} failed"
    return done.attempted
