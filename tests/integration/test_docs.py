"""Every command and every Python block that README and the site print is run, or is parsed."""

from __future__ import annotations

import gzip
import re
import shutil
import tarfile
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest
import typer
from doc_blocks import ROOT, blocks, pages

from peakatlas.cli import app
from peakatlas.demo.elements import DATA

N_PEAKS = 100
CELLS_A_TYPE = 12
COMMAND = typer.main.get_command(app)
ALL = [block for page in pages() for block in blocks(page)]
SHELL = [block for block in ALL if block.kind == "bash"]


def few_cells(name: str, stop: int) -> ad.AnnData:
    """Some of the simulated cells of each type, on the peaks that begin before `stop` (bp)."""
    cells = ad.read_h5ad(DATA / name)
    cells = cells[:, cells.var["start"].to_numpy() < stop]
    kept = cells.obs.groupby("cell_type", observed=True).head(CELLS_A_TYPE).index
    return cells[kept].copy()


def write_fragments(cells: ad.AnnData, folder: Path) -> None:
    """A fragment within a peak for each of the cells' counts, and the list of the cells."""
    counts = cells.X.tocoo()
    start = cells.var["start"].to_numpy()
    rows = sorted(
        (int(start[peak]) + 10, cells.obs_names[cell])
        for cell, peak, n in zip(counts.row, counts.col, counts.data, strict=True)
        for _ in range(int(n))
    )
    lines = "".join(f"chr20\t{begin}\t{begin + 100}\t{cell}\t1\n" for begin, cell in rows)
    (folder / "fragments.tsv.gz").write_bytes(gzip.compress(lines.encode()))
    names = "\n".join(cells.obs_names) + "\n"
    (folder / "barcodes.tsv.gz").write_bytes(gzip.compress(names.encode()))


def write_sdist(cells: ad.AnnData, folder: Path) -> None:
    """The fragments and types of the cells, where the sources of chromatinhd have theirs."""
    inside = "chromatinhd-0.4.3/src/chromatinhd/data/examples/pbmc10ktiny"
    obs = cells.obs[["cell_type"]].rename(columns={"cell_type": "celltype"})
    ad.AnnData(obs=obs).write_h5ad(folder / "transcriptome.h5ad")
    with tarfile.open(folder / "chromatinhd-0.4.3.tar.gz", "w:gz") as archive:
        for name in ("fragments.tsv.gz", "transcriptome.h5ad"):
            archive.add(folder / name, f"{inside}/{name}")


def write_beds(folder: Path) -> int:
    """Peaks, others, regions, and a chain that moves nothing; where the peaks end, in bp."""
    bed = (DATA / "peaks.bed").read_text().splitlines(keepends=True)
    (folder / "peaks.bed").write_text("".join(bed[:N_PEAKS]))
    (folder / "more_peaks.bed").write_text("".join(bed[N_PEAKS : N_PEAKS + 10]))
    (folder / "others.bed").write_text("".join(bed[-10:]))
    stop = int(bed[N_PEAKS].split("\t")[1])
    (folder / "regions.bed").write_text(f"chr20\t42500000\t{stop}\n")
    chain = "chain 1 chr20 64000000 + 0 64000000 chr20 64000000 + 0 64000000 1\n64000000\n\n"
    (folder / "hg19ToHg38.over.chain.gz").write_bytes(gzip.compress(chain.encode()))
    return stop


@pytest.fixture(scope="session")
def desk(tmp_path_factory) -> Path:
    """The files that the pages speak of, from the packaged data, small, under their names."""
    from peakatlas import Embedder, annotate, build_atlas, train  # noqa: PLC0415 (torch is slow)

    folder = tmp_path_factory.mktemp("desk")
    stop = write_beds(folder)
    reference = few_cells("simulated_reference.h5ad", stop)
    query = few_cells("simulated_query.h5ad", stop)
    reference.write_h5ad(folder / "reference.h5ad")
    for name in ("query.h5ad", "counts.h5ad"):
        query.write_h5ad(folder / name)
    write_fragments(reference, folder)
    write_sdist(reference, folder)
    for name in ("hg38.fa.gz", "genome.fa.gz"):
        shutil.copy(DATA / "slice.fa.gz", folder / name)
    embedder = Embedder.load("peaklm-v1")
    shutil.copytree(ROOT / "engine" / "models" / "peaklm-v1", folder / "my-model")
    build_atlas(folder / "hg38.fa.gz", folder / "others.bed", folder / "other.zarr", embedder)
    atlas = build_atlas(
        folder / "hg38.fa.gz", folder / "peaks.bed", folder / "atlas.zarr", embedder
    )
    bundle = train(folder / "reference.h5ad", "cell_type", atlas)
    bundle.save(folder / "bundle")
    annotate(folder / "query.h5ad", bundle, atlas).write_h5ad(folder / "annotated.h5ad")
    lay_out_demo(folder)
    return folder


@pytest.fixture(scope="session")
def has_run() -> set[tuple[str, ...]]:
    """Lines that some page before has run; what the commonest of them write is on the desk."""
    return {
        ("train", "reference.h5ad", "--labels", "cell_type", "--atlas", "atlas.zarr", "-o", out)
        for out in ("bundle", "bundle/")
    }


def lay_out_demo(folder: Path) -> None:
    """The packaged data and what `peakatlas demo` writes, small, where a clone has them."""
    data, out = folder / "peakatlas" / "demo" / "data", folder / "demo-output"
    data.mkdir(parents=True)
    out.mkdir()
    shutil.copy(folder / "hg38.fa.gz", data / "slice.fa.gz")
    shutil.copy(folder / "peaks.bed", data)
    shutil.copy(folder / "reference.h5ad", data / "simulated_reference.h5ad")
    shutil.copy(folder / "query.h5ad", data / "simulated_query.h5ad")
    shutil.copytree(folder / "atlas.zarr", out / "atlas.zarr")
    shutil.copytree(folder / "bundle", out / "bundle")
    shutil.copy(folder / "annotated.h5ad", out)


@pytest.mark.parametrize("page", pages())
def test_commands_and_python_of_a_page_run(run, desk, has_run, tmp_path, monkeypatch, page):
    shown = [block for block in blocks(page) if not block.not_run]
    todo = [block for block in shown if block.kind == "python" or block.commands()]
    if not todo:
        pytest.skip("nothing to run")
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


def test_pretraining_takes_the_options_that_are_shown():
    from peakatlas.engine import pretrain  # noqa: PLC0415 (torch is slow)

    module = typer.Typer()
    module.command()(pretrain.main)
    lines = [
        line.split()[3:]
        for block in SHELL
        for line in block.lines()
        if line.startswith("python -m peakatlas.engine.pretrain ")
    ]
    assert lines
    for words in lines:
        typer.main.get_command(module).make_context("pretrain", words)


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
        for room in ("engine", "atlas", "classifier", "peakatlas/commands")
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
