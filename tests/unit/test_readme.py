"""The README's figures are those of the committed results, and its commands exist."""

import re

import pytest
import typer

from benchmarks.readme_tables import BEGIN, END, ROOT, annotate_table, read_results, with_block
from peakatlas.cli import app

README = (ROOT / "README.md").read_text()


def test_table_is_the_one_generated_from_the_results():
    assert with_block(README, annotate_table(read_results())) == README


def test_table_shows_mean_and_sd_and_leaves_out_what_was_not_run():
    figures = {"accuracy": 0.5, "accuracy_sd": 0.01, "macro_f1": 0.25, "macro_f1_sd": 0.02}
    where = {"date": "2026-01-01", "machine": "a CPU, 2 cores", "commit": "abc"}
    result = {"dataset": "schep2017", "seeds": 3, "provenance": where, **figures}
    lines = annotate_table([result]).splitlines()
    assert lines[2].split(" | ")[1:] == ["0.500 ± 0.010 / 0.250 ± 0.020", "–", "–", "–", "– |"]
    assert lines[-1] == "Mean ± sd over 3 seeds. Measured 2026-01-01, a CPU, 2 cores, commit abc."


def test_missing_marker_is_named():
    with pytest.raises(ValueError, match=re.escape(END)):
        with_block(f"text {BEGIN} text", "table")


def test_every_command_of_the_readme_exists_with_its_options():
    root = typer.main.get_command(app)
    lines = re.findall(r"^peakatlas ([^#`\n]+)", README, re.MULTILINE)
    lines += re.findall(r"-m peakatlas ([^#`\n]+)", README)
    assert len(lines) >= 4
    for line in lines:
        words, command = line.split(), root
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("-")} <= known, line
