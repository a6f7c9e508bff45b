"""The card of a bundle: a README.md whose YAML says what its data are and how they are licensed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np
import yaml
from msgspec import Meta

from peakatlas.atlas.storage.atomic import write_bytes
from peakatlas.engine.documents import Document
from peakatlas.engine.errors import BundleError

from .bundle import Bundle
from .folder import SETTINGS_FILE, arrays_path

if TYPE_CHECKING:
    from pathlib import Path

CARD_FILE = "README.md"
MOST_BYTES = 1 << 20
_FRONT = re.compile(r"\A---\n(.{0,65536}?)\n---\n", re.DOTALL)

Line = Annotated[str, Meta(max_length=2_000)]


class Card(Document):
    """What a bundle cannot say of itself."""

    source: Line
    """Whose data they are, and where they come from."""
    licence: Annotated[str, Meta(min_length=1, max_length=100)]
    """SPDX name, such as ``CC-BY-4.0``, or ``other``."""
    build: Annotated[str, Meta(max_length=100)]
    """Genome build of the peaks."""
    tissue: Annotated[str, Meta(max_length=200)] = ""
    limits: tuple[Line, ...] = ()
    """What the bundle should not be used for, a sentence each."""
    arrays: Annotated[str, Meta(max_length=200)] = ""
    """File with the arrays of the bundle that the card belongs to; `write_card` sets it."""

    def describe(self) -> str:
        """Build, tissue, licence and source in a line."""
        kind = ", ".join(part for part in (self.build, self.tissue) if part)
        return " ".join(f"{kind}; licence {self.licence}; {self.source}".split())


def read_card(folder: Path) -> Card | None:
    """Card of a bundle; None where there is none, it is not one, or it is that of another bundle.

    Parameters
    ----------
    folder : Path
        Of the bundle.
    """
    try:
        with (folder / CARD_FILE).open("rb") as file:
            text = file.read(MOST_BYTES).decode()
        front = _FRONT.match(text.replace("\r\n", "\n"))
        if front is None or "<<" in front[1]:  # merged mappings can grow beyond all bounds
            return None
        card = msgspec.convert(yaml.safe_load(front[1])["peakatlas"], Card)
        return card if card.arrays == arrays_path(folder).name else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError, yaml.YAMLError):
        return None


def write_card(folder: Path, card: Card) -> None:
    """Write the card of a bundle beside it; an earlier one is replaced.

    Parameters
    ----------
    folder : Path
    card : Card

    Raises
    ------
    BundleError
        If there is no bundle, or source, licence or build is empty.
    """
    for name in ("source", "licence", "build"):
        if not getattr(card, name).strip():
            raise BundleError(f"a card needs the {name} of the data. Give --{name}.")
    bundle = Bundle.load(folder)
    card = msgspec.structs.replace(card, arrays=arrays_path(folder).name)
    write_bytes(folder / CARD_FILE, card_text(bundle, card, folder.name).encode())


def card_text(bundle: Bundle, card: Card, name: str) -> str:
    """The card in Markdown, as a Hugging Face repository has it.

    Parameters
    ----------
    bundle : Bundle
    card : Card
    name : str
        Of the bundle.
    """
    front = {
        "library_name": "peakatlas",
        "license": card.licence.lower(),
        "tags": ["peakatlas", "scATAC-seq", "cell-type-annotation", "biology"],
        "peakatlas": msgspec.to_builtins(card),
    }
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=100)}---",
        f"# {name}",
        f"A bundle of [peakatlas]: {len(bundle.types)} cell types of "
        f"{card.tissue or 'a labelled reference'}, peaks of {card.build}.",
        f"```bash\npeakatlas annotate query.h5ad --bundle {name} -o annotated.h5ad\n```",
        "## Data",
        f"- Source: {card.source}\n- Licence: {card.licence}\n{_data(bundle, card)}",
        "## Types",
        _types(bundle),
        "## Held-out cells",
        _held_out(bundle),
        "## Limits",
        "\n".join(f"- {limit}" for limit in [*card.limits, *_limits(bundle, card)]),
        "[peakatlas]: https://github.com/OWNER/peakatlas",
    ]
    return "\n\n".join(parts) + "\n"


def _data(bundle: Bundle, card: Card) -> str:
    made, peaks = bundle.provenance, bundle.peaks
    widths = np.asarray(peaks.end) - np.asarray(peaks.start)
    embedded = "none: DNA is not read" if bundle.spec is None else bundle.spec.model
    lines = [
        f"Genome build: {card.build}",
        f"Peaks: {len(peaks):,}, {int(widths.sum()):,} bp on {len(peaks.contigs)} contigs",
        f"Cells: {bundle.reference.n_cells:,} kept of {made.get('cells', 0):,}, with counts; "
        f"median {made.get('median_depth', 0):,.0f} counts a cell",
        f"Batches: {len(made.get('cells_by_batch', {})) or 1}",
        f"Embeddings: {embedded}",
        f"Made with peakatlas {made.get('peakatlas', {}).get('peakatlas', 'of unknown version')}",
    ]
    if bundle.ontology is not None:
        lines.append(f"Cell Ontology {bundle.ontology.edition} (CC BY 4.0)")
    return "\n".join(f"- {line}" for line in lines)


def _types(bundle: Bundle) -> str:
    sizes, by_type = bundle.provenance.get("cells_by_type", {}), bundle.held_out.get("by_type", {})
    verdicts = {each["type"]: each["words"] for each in bundle.held_out.get("verdicts", ())}
    rows = ["| type | term | cells | held-out F1 | verdict |", "| --- | --- | ---: | ---: | --- |"]
    for name, term in zip(bundle.types, bundle.term_ids, strict=True):
        f1 = f"{by_type[name]['f1']:.2f}" if name in by_type else "–"
        shown = [_cell(name), term, f"{sizes.get(name, 0):,}", f1, _cell(verdicts.get(name, "–"))]
        rows.append(f"| {' | '.join(shown)} |")
    return "\n".join(rows)


def _held_out(bundle: Bundle) -> str:
    held = bundle.held_out
    lines = [
        f"- accuracy {held['accuracy']:.3f}, macro-F1 {held['macro_f1']:.3f}, calibration error "
        f"{held['ece']:.3f}"
    ]
    lines += [
        f"- accuracy at the level {level}: {found['accuracy']:.3f}"
        for level, found in held.get("by_level", {}).items()
    ]
    return "\n".join(lines)


def _limits(bundle: Bundle, card: Card) -> list[str]:
    found = [
        f"Queries must have peaks of {card.build}; others are lifted with `--chain`.",
        "Cells of types that are not listed are named wrongly, or left open as novel.",
    ]
    if len(bundle.provenance.get("cells_by_batch", {})) < 2:
        found.append("Held-out cells are of the same experiment: expect less on another.")
    return found


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def bundle_files(folder: Path) -> list[str]:
    """Names of the files that make a bundle, its card included if there is one.

    Raises
    ------
    BundleError
        If there is no bundle.
    """
    try:
        names = [SETTINGS_FILE, arrays_path(folder).name]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BundleError(f"{folder} is not a bundle ({error}). Train one first.") from error
    return [*names, CARD_FILE] if (folder / CARD_FILE).is_file() else names
