"""Every command and every Python block that README and the site print is run, or is parsed."""

from __future__ import annotations

import re
import shutil

import anndata as ad
import pandas as pd
import pytest
import typer
from desk import N_PEAKS
from doc_blocks import ROOT, blocks, pages

from peakatlas.cli.main import app

COMMAND = typer.main.get_command(app)
ALL = [block for page in pages() for block in blocks(page)]
SHELL = [block for block in ALL if block.kind == "bash"]


@pytest.fixture(scope="session")
def has_run() -> set[tuple[str, ...]]:
    """Lines that some page before has run; what the commonest of them write is on the desk."""
    return {
        ("train", "reference.h5ad", "--labels", "cell_type", "--atlas", "atlas.zarr", "-o", out)
        for out in ("bundle", "bundle/")
    }


@pytest.mark.parametrize("page", pages())
def test_commands_and_python_of_a_page_run(run, desk, has_run, tmp_path, monkeypatch, page):
    shown = [block for block in blocks(page) if not block.not_run]
    todo = [block for block in shown if block.kind == "python" or block.commands()]
    if not todo:
        pytest.skip("nothing to run")
    if any("matplotlib" in block.text for block in todo):
        pytest.importorskip("matplotlib", reason="the page draws with matplotlib").use("agg")
    work = shutil.copytree(desk, tmp_path / "work")
    monkeypatch.chdir(work)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    names: dict[str, object] = {"__name__": "__main__"}
    for block in todo:
        if block.kind == "python":
            exec(compile(block.text, f"{page}, python", "exec"), names)
        for words in block.commands():
            if tuple(words) in has_run:
                continue
            has_run.add(tuple(words))
            done = run(*(word.replace("$SLURM_ARRAY_TASK_ID", "1") for word in words))
            assert done.code == 0, f"{page}: peakatlas {' '.join(words)}\n{done.err}"


def parse(words: list[str]) -> None:
    """Parse a line as a run would: names, options and values; files are not looked at."""
    command, context, left = COMMAND, None, list(words)
    while hasattr(command, "commands"):
        context = command.make_context(command.name, left, parent=context)
        left = [*context._protected_args, *context.args]
        command = command.commands[left.pop(0)]
    command.make_context(command.name, left, parent=context)


@pytest.mark.parametrize("page", pages())
def test_commands_that_are_not_run_parse(page):
    for block in blocks(page):
        unrun = block.commands() if block.not_run else []
        for words in [*unrun, *block.launched()]:
            parse([word.replace("$SLURM_ARRAY_TASK_ID", "1") for word in words])


def test_a_line_that_does_not_parse_is_noticed():
    parse(["atlas", "info", "a.zarr", "--json"])
    with pytest.raises(Exception, match="--jsen"):
        parse(["atlas", "info", "a.zarr", "--jsen"])
    with pytest.raises(Exception, match="out"):
        parse(["annotate", "query.h5ad", "--bundle", "bundle"])


def test_blocks_that_call_peakatlas_are_marked_as_shell():
    for block in ALL:
        if block.commands() or block.launched():
            assert block.kind == "bash", f"{block.page}: {block.text}"


def test_a_fair_part_is_run():
    ran = [words for block in SHELL if not block.not_run for words in block.commands()]
    left = [words for block in SHELL if block.not_run for words in block.commands()]
    assert len(ran) >= 30
    assert len(left) <= len(ran) / 3
    assert {words[0] for words in ran} >= {"atlas", "count", "train", "annotate", "doctor"}


@pytest.mark.parametrize("page", pages())
def test_scripts_and_modules_that_are_named_exist(page):
    text = (ROOT / page).read_text("utf-8")
    for path in re.findall(r"python3? ((?:benchmarks|scripts|docs)/[\w/]+\.py)", text):
        assert (ROOT / path).is_file(), path
    for module in re.findall(r"python3? -m (peakatlas[\w.]+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    for path in re.findall(r"<!-- not run: (tests/[\w/]+\.py)", text):
        assert (ROOT / path).is_file(), path


def test_accelerate_reads_the_configuration_that_is_shown(tmp_path):
    from accelerate.commands.config.config_args import ClusterConfig  # noqa: PLC0415 (slow)

    (shown,) = (block for block in ALL if block.kind == "yaml")
    (tmp_path / "accelerate.yaml").write_text(shown.text)
    config = ClusterConfig.from_yaml_file(str(tmp_path / "accelerate.yaml"))
    assert (config.num_processes, config.num_machines) == (4, 1)
    assert config.distributed_type == "MULTI_GPU"


def test_errors_of_the_page_are_those_of_the_code():
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    said = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(said) >= 25
    files = [
        path
        for room in ("engine", "atlas", "classifier", "peakatlas/cli")
        for path in (ROOT / room).rglob("*.py")
    ]
    # texts that run over several lines are joined, as Python joins them
    code = re.sub(r'"\s+f?"', "", "\n".join(path.read_text("utf-8") for path in files))
    for text in said:
        assert text in code, text


def test_the_desk_is_as_the_pages_say(desk):
    counts = ad.read_h5ad(desk / "reference.h5ad")
    assert counts.obs["cell_type"].value_counts().min() >= 10
    assert pd.read_csv(desk / "peaks.bed", sep="\t", header=None).shape[0] == N_PEAKS
