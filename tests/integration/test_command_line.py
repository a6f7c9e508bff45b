"""What all commands share: help with true examples, -q and -v, --json, completion."""

import json
import os
import re
import resource
import shlex
import subprocess
import sys

import anndata as ad
import pytest
import typer

from peakatlas.cli import terminal
from peakatlas.cli.base import EVERYWHERE
from peakatlas.cli.main import THREAD_VARIABLES, app, main

ROOT = typer.main.get_command(app)
GROUPS = [("atlas",), ("bundles",)]
GLOBAL = {name for names in EVERYWHERE for name in names.split(", ")}


def paths(command=ROOT, path=()):
    """Path of every command and group below one, itself included."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from paths(inner, (*path, name))


def command_at(words):
    """The command that a line calls, and the words behind its name."""
    command, words = ROOT, list(words)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return command, words


@pytest.mark.parametrize("path", list(paths()), ids=" ".join)
def test_help_has_examples_that_could_be_run(run, path):
    done = run(*path, "--help")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith(" ".join(("Usage: peakatlas", *path)))
    assert "{" not in lines[0]
    assert "<" not in done.out.replace("<bp>", "").replace("<max bp>", "").replace(
        "<overlap bp>", ""
    )
    assert "-q, --quiet" in done.out
    examples = lines[lines.index("Examples:") + 1 :]
    assert 1 <= len(examples) <= 4
    for line in examples:
        assert len(line) <= 120
        name, *words = shlex.split(line.rpartition("| ")[2])
        assert name == "peakatlas"
        assert tuple(words[: len(path)]) == path
        command, rest = command_at(words)
        given = {word for word in rest if re.match("--?[a-z]", word)}
        assert given <= {name for option in command.params for name in option.opts}
        needed = {option.opts[-1] for option in command.params if option.required}
        assert {name for name in needed if name.startswith("-")} <= given | {"--out", "--model"}


@pytest.mark.parametrize("path", list(paths()), ids=" ".join)
def test_every_option_has_a_name_for_its_value_and_a_text(path):
    command = command_at(path)[0] if path and path not in GROUPS else ROOT
    for option in command.params:
        assert option.help, option.opts
        assert option.help.endswith("."), option.help


def test_help_is_cheap_and_lists_the_commands():
    code = (
        "import sys; sys.argv = ['peakatlas', 'atlas', 'build', '--help']\n"
        "from peakatlas.cli.main import main\n"
        "try: main()\n"
        "finally: print([n for n in ('rich', 'numpy', 'torch', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "peakatlas", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for name in ("atlas", "train", "annotate", "models", "benchmark", "demo", "doctor"):
        assert re.search(f"^  {name} ", done.stdout, re.MULTILINE)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert cpu < 1.0  # 0.2 s on a quiet machine


@pytest.mark.parametrize("group", [(), *GROUPS])
def test_a_group_alone_prints_its_help_and_exits_2(run, group):
    done = run(*group)
    assert done.code == 2
    assert done.out == ""
    assert "Examples:" in done.err


@pytest.mark.parametrize("place", [0, 1, 4])
def test_quiet_leaves_the_result_alone(run, built, world, place):
    words = ["atlas", "lookup", built, world / "peaks.bed"]
    loud = run(*words)
    words.insert(place, "-q")
    quiet = run(*words)
    assert loud.err == "60 exact, 0 sequence, 0 overlap, 0 embedded, 0 missing\n"
    assert (quiet.code, quiet.out, quiet.err) == (0, loud.out, "")


def test_quiet_builds_show_no_progress_but_errors(run, world, toy_esm, tmp_path):
    words = ("atlas", "build", world / "genome.fa", world / "peaks.bed", tmp_path / "a.zarr")
    assert run(*words, "--model", toy_esm, "--quiet").err == ""
    refused = run(*words, "--model", toy_esm, "--window", "centre:60", "--quiet")
    assert refused.err.startswith("error: ")


def test_verbose_says_how_long_steps_took(run, world, built, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(terminal, "_LEAST_SHOWN_S", 0)
    words = ("annotate", world / "query.h5ad", "--bundle", trained, "--atlas", built,
             "-o", tmp_path / "o.h5ad")  # fmt: skip
    plain, verbose = run(*words).err.splitlines(), run(*words, "-v").err.splitlines()
    assert "labelling its cells" in plain
    assert any(re.fullmatch(r"labelling its cells \(\d+\.\d s\)", line) for line in verbose)


def test_train_and_annotate_report_as_json(run, world, built, tmp_path):
    done = run("train", world / "reference.h5ad", "--labels", "cell_type", "--atlas", built,
               "-o", tmp_path / "bundle", "--json")  # fmt: skip
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["types"] == ["alpha", "beta", "gamma"]
    assert (facts["cells"], facts["peaks"], facts["tiers"]["exact"]) == (120, 60, 60)
    assert 0 <= facts["held_out"]["accuracy"] <= 1
    out = tmp_path / "o.h5ad"
    done = run("annotate", world / "query.h5ad", "--bundle", tmp_path / "bundle", "--atlas",
               built, "-o", out, "--json")  # fmt: skip
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["path"] == str(out)
    assert facts["report"] is None
    counted = ad.read_h5ad(out).obs["peakatlas_label"].value_counts()
    assert facts["labels"] == {name: n for name, n in counted.items() if n}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "o.h5ad"]


def test_lookup_partition_and_mirror_report_as_json(run, world, built, toy_esm, tmp_path):
    lookup = ("atlas", "lookup", built, world / "peaks.bed", "--json")
    facts = json.loads(run(*lookup).out)
    assert facts["tiers"]["exact"] == facts["peaks"] == len(facts["rows"]) == 60
    assert facts["rows"][0]["chrom"] == "chr1"
    facts = json.loads(run(*lookup, "-o", tmp_path / "t.tsv").out)
    assert "rows" not in facts
    assert len((tmp_path / "t.tsv").read_text().splitlines()) == 61
    done = run("atlas", "build", world / "genome.fa", world / "peaks.bed", tmp_path / "p.zarr",
               "--model", toy_esm, "--partition", "2/2", "--json")  # fmt: skip
    assert json.loads(done.out) == {
        "path": str(tmp_path / "p.zarr"), "partition": "2/2", "n_missing_shards": 1,
    }  # fmt: skip
    facts = json.loads(run("atlas", "mirror", built, tmp_path / "copy.zarr", "--json").out)
    assert facts["n_intervals"] == 60
    assert facts["path"] == str(tmp_path / "copy.zarr")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("peakatlas atlas qu", "quantise"),
        ("peakatlas benchmark --model peakl", "peaklm-v3"),
        ("peakatlas atlas build --pl", "--plan"),
    ],
)
def test_the_shell_is_offered_what_fits(monkeypatch, capsys, words, offered):
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    monkeypatch.setenv("_PEAKATLAS_COMPLETE", "complete_bash")
    monkeypatch.setattr(sys, "argv", ["peakatlas"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out.split() == [offered]


def test_a_reader_that_goes_away_is_no_error(built, world):
    command = [sys.executable, "-m", "peakatlas", "-q", "atlas", "lookup", built,
               world / "peaks.bed"]  # fmt: skip
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == ""


def test_bytes_are_shown_in_the_unit_that_suits():
    sizes = (0, 999, 1500, 12_345_678, 2_350_000_000, 5e12)
    assert [*map(terminal.shown_bytes, sizes)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "12.3 MB",
        "2.35 GB",
        "5 TB",
    ]


@pytest.mark.parametrize("words", [("--threads", "3"), ("--threads=3",)])
def test_threads_are_bounded(run, monkeypatch, words):
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")
    assert run("models", "--json", *words).code == 0
    assert {os.environ[name] for name in THREAD_VARIABLES} == {"3"}
    done = run("models", "--threads", "many")
    assert done.code == 2 and "--threads must be a whole number above 0, not 'many'" in done.err


def test_a_lookup_that_finds_nothing_is_warned_of(run, built, tmp_path):
    (tmp_path / "far.bed").write_text("chr1\t90000000\t90000500\n")
    said = run("atlas", "lookup", built, tmp_path / "far.bed").err
    assert "none of 1 peaks is in the atlas. Check that the peaks are of the genome build" in said
