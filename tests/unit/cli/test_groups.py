"""A group of options is one argument of a command, and its options stand under one heading."""

import typer
from typer.testing import CliRunner

from peakatlas.cli.base import Command
from peakatlas.cli.groups import CountOptions, EmbeddingOptions, PeakOptions, grouped
from peakatlas.cli.main import app as whole

app = typer.Typer()


@app.command(cls=Command)
@grouped
def show(name: str, read: CountOptions, peaks: PeakOptions, loud: bool = False) -> None:
    """Print what was given."""
    typer.echo(f"{name} {read.layer} {read.use_raw} {peaks.max_offset} {loud}")


def run(*words):
    return CliRunner().invoke(app, list(words))


def test_options_of_groups_are_given_like_others():
    assert run("a").output == "a None False None False\n"
    words = ("--layer", "counts", "--use-raw", "--max-offset", "25", "--loud")
    assert run("a", *words).output == "a counts True 25 True\n"
    assert "--max-offset" in run("a", "--max-offset", "-1").output


def test_a_group_refuses_options_that_do_not_go_together(tmp_path):
    genome = tmp_path / "g.fa"
    genome.write_text(">chr1\nACGT\n")
    found = run("a", "--genome", str(genome))
    assert found.exit_code == 2 and "without --atlas no peak is embedded" in found.output


def test_the_help_has_a_heading_for_each_group():
    lines = run("--help").output.splitlines()
    counts, peaks = lines.index("Where the counts are:"), lines.index("Peaks and their DNA:")
    assert lines.index("Options:") < counts < peaks
    assert any("--mod NAME" in line for line in lines[counts:peaks])
    assert "at least 0" in " ".join(" ".join(lines[peaks:]).split())


def test_former_names_of_options_work_and_are_not_shown():
    words = ["query.h5ad", "--model=b", "-o", "out.h5ad"]
    found = CliRunner().invoke(whole, ["annotate", *words])
    assert "b does not exist; a trained bundle" in str(found.exception)
    assert "--model" not in CliRunner().invoke(whole, ["annotate", "--help"]).output


def test_options_of_the_group_above_come_first():
    names = [field for field in EmbeddingOptions.__dataclass_fields__ if field != "heading"]
    assert names[:2] == ["model", "window"] and names[-1] == "max_n_fraction"
