"""What can be wrong with an atlas, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal[
    "manifest", "document", "shard", "original", "stray", "rows", "genome", "model", "newer"
]

_REMEDIES: dict[Kind, str] = {
    "manifest": "`peakatlas atlas verify {atlas} --repair` writes it anew from plans and logs",
    "document": "`peakatlas atlas verify {atlas} --repair` writes it anew",
    "shard": "`peakatlas atlas verify {atlas} --repair --genome GENOME.fa` embeds its rows anew; "
    "or restore it from a copy",
    "original": "No other file says what it held: restore it from a copy, or build the atlas anew "
    "elsewhere",
    "stray": "The atlas does not use it: remove it",
    "rows": "Its files are as they were written, so what wrote them was at fault: build the atlas "
    "anew elsewhere",
    "genome": "Give the genome that the atlas was built from; if this is it, build the atlas anew",
    "newer": "Install a newer peakatlas, which reads and verifies it",
    "model": "Give the model that the atlas was built with; if this is it, build the atlas anew",
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong with an atlas."""

    file: str
    """Path below the atlas; of several files, their folder."""
    what: str
    """What is wrong, with the values."""
    kind: Kind
    """What kind of thing it is, which decides the remedy."""

    def remedy(self, atlas: str) -> str:
        """What to do about it.

        Parameters
        ----------
        atlas : str
            Path of the atlas.
        """
        return _REMEDIES[self.kind].format(atlas=atlas)

    def line(self, atlas: str) -> str:
        """File, fault and remedy in one line."""
        return f"{self.file}: {self.what}. {self.remedy(atlas)}."


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What was checked, and what was found."""

    atlas: str
    """Path of the atlas."""
    faults: tuple[Fault, ...]
    """In the order of the files."""
    notes: tuple[str, ...] = ()
    """What is worth knowing and no fault."""
    facts: dict[str, Any] = field(default_factory=dict)
    """How much was checked: numbers by name."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types, each fault with its remedy."""
        faults = [asdict(fault) | {"remedy": fault.remedy(self.atlas)} for fault in self.faults]
        return {
            "atlas": self.atlas, "ok": self.ok, "faults": faults, "notes": list(self.notes),
            **self.facts,
        }  # fmt: skip
