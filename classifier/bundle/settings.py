"""``bundle.json`` as a model: what it may hold, checked whole before anything is made of it.

``read_settings(path.read_bytes(), str(path), FORMAT_VERSION)`` gives a `BundleSettings`; each value
in it has the type stated here, so that nothing behind it needs checks of its own::

    settings = read_settings(data, where, FORMAT_VERSION)
    arrays = (folder / settings.arrays_file).read_bytes()  # a plain name: it stays in the folder
    levels = Levels.from_json(msgspec.to_builtins(settings.levels))

A key that is added to the bundle is added here, with its type; one that older bundles lack has a
default. ``method`` and ``held_out`` are checked by what uses them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from peakatlas.engine.documents import Count, Document, Sha256, Text, as_model, parse_object
from peakatlas.engine.errors import BundleError
from peakatlas.engine.spec import EmbeddingSpec

Codes = list[Annotated[int, Meta(ge=0, le=1 << 31)]]
ArraysFile = Annotated[str, Meta(pattern=r"^arrays[0-9a-f-]{0,40}\.safetensors\Z")]

TermId = Annotated[str, Meta(pattern=r"^CL:[0-9]{7}\Z")]


class LevelsDocument(Document):
    """Cell types, coarse to fine; see `Levels`."""

    columns: Annotated[list[Text], Meta(min_length=1, max_length=100)]
    types: list[Annotated[list[Text], Meta(min_length=1)]]
    members: list[Codes]

    def fault(self) -> str:
        """What does not fit in it, "" if all does."""
        if not len(self.columns) == len(self.types) == len(self.members):
            return "levels.columns, types and members differ in length"
        for names, codes in zip(self.types, self.members, strict=True):
            if len(set(names)) != len(names):
                return "levels.types names a type twice in one level"
            if len(codes) != len(self.types[-1]) or max(codes) >= len(names):
                return "levels.members does not give each finest type one type of each level"
        return ""


class OntologyDocument(Document):
    """Labels as terms of the Cell Ontology; see `OntologyMapping`."""

    edition: Text
    terms: dict[Text, TermId]
    unmapped: list[Text] = msgspec.field(default_factory=list)
    joined: dict[Text, Text] = msgspec.field(default_factory=dict)
    apart: list[TermId] = msgspec.field(default_factory=list)


class ElementsDocument(Document):
    """Annotated elements whose terms describe the peaks."""

    source: Text
    build: Text
    """Of the bundle's peaks."""
    terms: Annotated[list[TermId], Meta(min_length=1, max_length=10_000)]


class BundleSettings(Document):
    """``bundle.json``."""

    format_version: Count
    levels: LevelsDocument
    contigs: list[Text]
    spec: dict[Text, Any] | None
    provenance: dict[str, Any]
    arrays_file: ArraysFile
    arrays_sha256: Sha256
    format: Literal["peakatlas-bundle"] = "peakatlas-bundle"
    spec_digest: Text | None = None
    batches: list[Text] = msgspec.field(default_factory=list)
    method: Text = "default"
    held_out: dict[str, Any] = msgspec.field(default_factory=dict)
    ontology: OntologyDocument | None = None
    elements: ElementsDocument | None = None

    def embedding_spec(self) -> EmbeddingSpec | None:
        """Identity of the embeddings; None where the bundle was trained without an atlas.

        Raises
        ------
        TypeError, ModelError
            If it is none.
        """
        return None if self.spec is None else EmbeddingSpec.from_json(self.spec)


def read_settings(data: bytes, where: str, version: int) -> BundleSettings:
    """Parse and check the settings of a bundle.

    Parameters
    ----------
    data : bytes
        Of ``bundle.json``.
    where : str
        Path of the file, for the text.
    version : int
        Format version that is read.

    Raises
    ------
    BundleError
        If they are of another version, damaged, or contradict themselves.
    """
    values = parse_object(data, where, BundleError)
    if values.get("format_version") != version:
        raise BundleError(
            f"{where}: a bundle of format version {str(values.get('format_version'))[:20]}, and "
            f"this peakatlas reads version {version}. Train it again on its reference."
        )
    settings = as_model(values, BundleSettings, where, BundleError)
    fault = settings.levels.fault() or _spec_fault(settings)
    if fault:
        raise BundleError(f"{where} is damaged: {fault}. Copy the bundle again, or train again.")
    return settings


def _spec_fault(settings: BundleSettings) -> str:
    try:
        spec = settings.embedding_spec()
    except (TypeError, ValueError) as error:
        return f"spec is none ({error})"
    digest = None if spec is None else spec.digest
    return "" if settings.spec_digest == digest else "spec_digest does not fit spec"
