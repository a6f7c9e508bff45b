"""The front door: every name is there, typed, and loaded only when used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import peakatlas


@pytest.mark.parametrize("name", peakatlas.__all__)
def test_public_name_is_what_it_says(name):
    assert getattr(peakatlas, name).__name__ == name
    assert getattr(peakatlas, name).__doc__


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'peakatlas' has no attribute 'annotat'"):
        _ = peakatlas.annotat


def test_lazy_table_and_typed_imports_agree():
    tree = ast.parse(Path(peakatlas.__file__).read_text("utf-8"))
    typed = {
        alias.name: f".{node.module}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level and node.module != "notebook"
        for alias in node.names
    }
    assert typed == peakatlas._MODULE_OF
    assert sorted(typed) == peakatlas.__all__
    assert set(peakatlas.__all__) <= set(dir(peakatlas))


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import peakatlas", ["numpy", "torch", "pandas"]),
        ("import peakatlas.cli.main", ["numpy", "torch", "pandas"]),
        ("import peakatlas; peakatlas.Atlas, peakatlas.read_bed", ["torch", "transformers"]),
    ],
)
def test_heavy_modules_wait(code, absent):
    check = f"{code}; import sys; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
