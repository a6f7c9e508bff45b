"""What holds of every command."""

import io
import sys

import pytest

from peakatlas.cli.main import main


def test_letters_that_a_terminal_lacks_are_spelt_out(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["peakatlas", "--version"])
    with pytest.raises(SystemExit):
        main()
    print("\u03b3\u03b4 T", flush=True)
    assert written.getvalue().splitlines()[-1] == b"\\u03b3\\u03b4 T"
