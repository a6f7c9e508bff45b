"""`peakatlas doctor`: is this machine, and what is installed on it, fit for the work?"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peakatlas.cli.base import Command
from peakatlas.cli.options import START_PANEL, JsonOption
from peakatlas.cli.terminal import say, shown_bytes, steps

if TYPE_CHECKING:
    from peakatlas.cli.doctor.findings import Finding

app = typer.Typer()

_SIGNS = {"ok": "ok  ", "note": "note", "broken": "BAD "}


@app.command(
    cls=Command,
    rich_help_panel=START_PANEL,
    epilog="peakatlas doctor\npeakatlas doctor --folder /scratch --json",
)
def doctor(
    folder: Annotated[
        Path,
        typer.Option(
            "--folder", metavar="FOLDER", help="Folder for atlases, whose disk is tested."
        ),
    ] = Path(),
    clear_cache: Annotated[
        bool,
        typer.Option("--clear-cache", help="Only remove decompressed genomes from the cache."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check versions, CPU, GPU, FAISS, threads, memory and disks; exit code 1 if one is broken."""
    from peakatlas.engine.dna.fasta import cache_folder  # noqa: PLC0415 - keeps the help fast

    if clear_cache:
        _clear(cache_folder(), as_json=as_json)
        return
    from peakatlas.cli.doctor.findings import broken  # noqa: PLC0415

    found = examine(folder, cache_folder())
    if as_json:
        listed = [asdict(each) for each in found]
        typer.echo(json.dumps({"ok": not broken(found), "findings": listed}))
    else:
        for each in found:
            typer.echo(f"{_SIGNS[each.state]}  {each.name}: {each.text}")
            if each.remedy:
                typer.echo(f"      -> {each.remedy}")
    if broken(found):
        raise typer.Exit(1)


def examine(folder: Path, cache: Path) -> list[Finding]:
    """Look at everything; no network is used.

    Parameters
    ----------
    folder : Path
        Its disk is tried.
    cache : Path
        The cache folder.
    """
    from peakatlas.cli.doctor import findings, limits  # noqa: PLC0415
    from peakatlas.engine.run.cores import usable_cores  # noqa: PLC0415 - keeps the help fast

    with steps() as begin:
        begin("looking at what is installed")
        installed = [
            findings.check_python(), findings.check_packages(), findings.check_extras(),
            findings.check_torch(), findings.check_blas(),
            findings.check_faiss(findings.installed_faiss()),
        ]  # fmt: skip
        begin("looking at the machine")
        info = Path("/proc/cpuinfo")
        machine = [
            findings.check_cpu(info.read_text() if info.exists() else ""),
            findings.check_gpu(),
            findings.check_threads(
                usable_cores(), limits.core_limit(), os.environ.get("OMP_NUM_THREADS")
            ),
            findings.check_memory(limits.machine_bytes(), limits.memory_limit()),
        ]
        begin("trying the disk")
        disks = [findings.check_disk(folder), findings.check_cache(cache)]
    return [*installed, *machine, *disks]


def _clear(cache: Path, *, as_json: bool) -> None:
    from peakatlas.cli.doctor.findings import cached_genomes  # noqa: PLC0415

    freed = 0
    for path in cached_genomes(cache):
        freed += path.stat().st_size
        path.unlink(missing_ok=True)
    if as_json:
        typer.echo(json.dumps({"path": str(cache), "freed_bytes": freed}))
    else:
        say(f"removed {shown_bytes(freed)} from {cache}; genomes are decompressed anew when needed")
