"""Make an atlas ready for a static server: checked, with a card that says what it is."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakatlas.engine.errors import AtlasError

from .atlas import Atlas
from .build.places import refuse_links
from .build.writer import LOCK_NAME
from .check.verify import verify_atlas
from .format.layout import ZARR_NAME
from .format.opening import listed_files
from .format.schema import CARD_NAME, MANIFEST_NAME
from .format.segment import read_manifest
from .storage import atomic as files
from .storage.locks import locked
from .summary import atlas_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was made ready, and how to copy it."""

    card: Path
    """File that was written."""
    n_files: int
    """Files to copy, manifest and card included."""
    bytes: int
    """Their bytes."""
    commands: tuple[str, ...]
    """What copies them so that no reader meets half of it; the target is to be named."""


def publish_atlas(
    path: str | Path, *, url: str = "", progress: Callable[[int], None] | None = None
) -> Published:
    """Check a finished atlas, every byte of it, and write the card that people read first.

    Nothing else is changed. A static server needs no more than the files as they are, the manifest
    last.

    Parameters
    ----------
    path : str or Path
        Folder of a finished atlas.
    url : str
        Where it will lie, for the examples of the card.
    progress : callable, optional
        Called with the number of bytes read since its last call.

    Returns
    -------
    Published

    Raises
    ------
    AtlasError
        If there is no finished atlas, it is damaged, or the disk refuses.
    """
    root = Path(path)
    refuse_links(root)
    with locked(root, LOCK_NAME, wait=True):
        report = verify_atlas(root, deep=True, progress=progress)
        if not report.ok:
            lines = "; ".join(fault.line(str(root)) for fault in report.faults[:_SHOWN])
            raise AtlasError(f"{root} has {len(report.faults)} fault(s): {lines}")
        manifest = read_manifest(root)
        card = _card(Atlas.open(root), manifest, url).encode()
        files.write_bytes(root / CARD_NAME, card)
    logs = [log for s in manifest["segments"] for log in (root / s["name"] / "log").glob("s*.json")]
    sizes = [file["bytes"] for _, file in listed_files(manifest)]
    extra = [root / MANIFEST_NAME, root / ZARR_NAME, root / CARD_NAME, *logs]
    return Published(
        card=root / CARD_NAME,
        n_files=len(sizes) + len(extra),
        bytes=sum(sizes) + sum(file.stat().st_size for file in extra),
        commands=tuple(_commands(root)),
    )


def _card(atlas: Atlas, manifest: Mapping[str, Any], url: str) -> str:
    """Markdown that says what an atlas holds, of what, under which licence, and how it is read."""
    name, where = Path(atlas.name).name, url or "URL"
    model, licence = atlas.provenance["model"], _plain(atlas.provenance["model"].get("licence"))
    cite = _plain(model.get("citation"))
    head = [f"license: {licence.lower()}"] if licence else []
    lines = [
        "---", *head, "tags: [peakatlas, zarr, chromatin-accessibility, embeddings]", "---", "",
        f"# {name}", "",
        f"An embedding of {atlas.dim} values for each of {len(atlas):,} genomic intervals, as an "
        "atlas of [peakatlas](https://pypi.org/project/peakatlas/), format "
        f"{manifest['format_version']}: Zarr v3, which any Zarr reader opens.", "",
        *_table(_facts(atlas, manifest)), "",
        "## Licence and citation", "",
        f"What was made with this model keeps its licence: {licence or 'not stated'}."
        + (f" Cite {cite}." if cite else ""), "",
        "## Use", "",
        "```bash",
        f"peakatlas atlas lookup {where} peaks.bed",
        f"peakatlas atlas verify {where} --reembed 100 --genome GENOME.fa",
        "```", "",
        "```python",
        "import peakatlas", "",
        f'atlas = peakatlas.Atlas.open("{where}")',
        "values = atlas.gather([0, 1, 2])",
        "```", "",
        "## Files", "",
        *_table(_sizes(manifest)),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _facts(atlas: Atlas, manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    origin = atlas.provenance
    model, genome, peaks = origin["model"], origin["genome"], origin["peaks"]
    for name, value in atlas_facts(origin).items():
        yield name, _plain(f"{value:,}" if isinstance(value, int) else value)
    yield "precision", _plain(origin["spec"]["precision"])
    yield "model's source", _joined(model, "source", "revision")
    yield "weights, SHA-256", _plain(origin["spec"]["weights_sha256"])
    yield "genome, GA4GH digest", _plain(genome.get("seqcol") or genome.get("records_sha256"))
    yield "peaks", _joined(peaks, "name", "sha256")
    parents = ", ".join(parent["name"] for parent in origin["derived"].get("parents", []))
    yield "derived", _plain(f"{origin['derived']['by']} of {parents}" if parents else "")
    yield "spec digest", origin["spec_digest"]
    yield "manifest, SHA-256", manifest["sha256"]


def _sizes(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Files and bytes of each array of each segment."""
    for segment in manifest["segments"]:
        held: dict[str, list[int]] = {}
        for file, entry in segment["files"].items():
            array = file.removesuffix("/zarr.json").partition("/c/")[0]
            held.setdefault(array, []).append(entry["bytes"])
        for name, sizes in sorted(held.items()):
            yield f"`{segment['name']}/{name}`", f"{len(sizes):,} file(s), {sum(sizes):,} bytes"


def _table(rows: Iterator[tuple[str, str]]) -> list[str]:
    return ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows if value)]


def _joined(values: Mapping[str, Any], *names: str) -> str:
    return _plain(" ".join(str(values.get(name) or "") for name in names))


def _plain(value: object) -> str:
    """Text of an atlas as one cell of a table, whatever it holds."""
    text = " ".join(str(value or "").split())
    return "".join(f"\\{letter}" if letter in "\\|<>[]`" else letter for letter in text)


def _commands(root: Path) -> Iterator[str]:
    here, name = shlex.quote(str(root)), shlex.quote(root.name)
    manifest = shlex.quote(str(root / MANIFEST_NAME))
    yield f"rsync -a --exclude '.*' --exclude /{MANIFEST_NAME} {here}/ HOST:FOLDER/{name}/"
    yield f"rsync -a {manifest} HOST:FOLDER/{name}/"
    hidden = "--exclude '.*' --exclude '*/.*'"
    yield f"aws s3 sync {here} s3://BUCKET/{name} {hidden} --exclude {MANIFEST_NAME}"
    yield f"aws s3 cp {manifest} s3://BUCKET/{name}/{MANIFEST_NAME}"
