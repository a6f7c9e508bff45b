"""Options that go together: declared once as a dataclass, and one argument of each command."""

from __future__ import annotations

import copy
import functools
import inspect
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_type_hints

import typer
from typer.models import OptionInfo

from .kinds import wants
from .options import (
    MatchContigsOption,
    MaxOffsetOption,
    ModelOption,
    RevisionOption,
    TrustOption,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class OptionGroup:
    """Options of a command; every field is annotated with one and has a default."""

    heading: ClassVar[str]
    """What they stand under in the help."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(OptionGroup):
    """Which model reads DNA, and how."""

    heading = "How peaks are embedded"

    model: ModelOption = "peaklm-v3"
    window: Annotated[
        str | None,
        typer.Option(
            "--window",
            metavar="RULE",
            help="centre:<bp> or peak:<max bp>:<overlap bp>; the model's own if not given.",
        ),
    ] = None
    strand: Annotated[
        Literal["forward", "both"],
        typer.Option("--strand", help="One strand, or the mean of both."),
    ] = "forward"
    precision: Annotated[
        Literal["bf16", "fp32"], typer.Option("--precision", help="Of the model's matrix products.")
    ] = "bf16"
    revision: RevisionOption = None
    trust_remote_code: TrustOption = False


@dataclass(frozen=True, kw_only=True)
class EmbeddingOptions(ModelOptions):
    """All that makes an embedding what it is."""

    pooling: Annotated[
        Literal["mean", "cls"],
        typer.Option("--pooling", help="Mean of the DNA tokens, or the CLS token."),
    ] = "mean"
    layer: Annotated[
        int, typer.Option("--layer", metavar="N", help="Layer that is pooled; -1 is the last.")
    ] = -1
    max_n_fraction: Annotated[
        float | None,
        typer.Option(
            "--max-n-fraction",
            metavar="SHARE",
            help="Leave windows out that are richer in N than this; 0.5 if not given.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class AtlasModelOptions(OptionGroup):
    """Where the model of an atlas is."""

    heading = ModelOptions.heading

    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="MODEL", help="Where the atlas's model is, if not where it says."
        ),
    ] = None
    revision: RevisionOption = None
    trust_remote_code: TrustOption = False


@dataclass(frozen=True, kw_only=True)
class PeakOptions(OptionGroup):
    """How peaks find their embeddings and those of the reference."""

    heading = "Peaks and their DNA"

    atlas: Annotated[
        str | None,
        typer.Option(
            "--atlas",
            metavar="ATLAS",
            help="Atlas of the embeddings: folder or URL. Without it DNA is not read, and peaks "
            "are matched by coordinates.",
            callback=wants("atlas"),
        ),
    ] = None
    genome: Annotated[
        Path | None,
        typer.Option(
            "--genome",
            metavar="GENOME.fa",
            help="FASTA of the genome or of the peaks, to embed peaks that the atlas lacks.",
            callback=wants("genome"),
        ),
    ] = None
    max_offset: MaxOffsetOption = None
    match_contigs: MatchContigsOption = False
    chain: Annotated[
        Path | None,
        typer.Option(
            "--chain",
            metavar="CHAIN",
            help="UCSC chain file: lift the peaks to the atlas's genome build first.",
        ),
    ] = None

    def __post_init__(self) -> None:
        """A genome serves to embed peaks by the model of an atlas."""
        if self.genome is not None and self.atlas is None:
            raise typer.BadParameter("without --atlas no peak is embedded", param_hint="--genome")


@dataclass(frozen=True, kw_only=True)
class ElementOptions(OptionGroup):
    """Terms of annotated elements that describe peaks."""

    heading = "Annotated elements, in the place of an atlas"

    elements: Annotated[
        str | None,
        typer.Option(
            "--elements",
            metavar="remo|TABLE",
            help="Describe peaks by the terms of elements in them: REMO v1 from the package "
            "remopy, or a table of chrom, start, end and Cell Ontology ids with commas.",
        ),
    ] = None
    build: Annotated[
        str | None,
        typer.Option(
            "--build",
            metavar="BUILD",
            help="Genome build of the peaks, such as hg38, for --elements.",
        ),
    ] = None
    elements_chain: Annotated[
        Path | None,
        typer.Option(
            "--elements-chain",
            metavar="CHAIN",
            help="UCSC chain file from the peaks' build to that of the elements (REMO: hg38).",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class CountOptions(OptionGroup):
    """Where an object keeps its counts."""

    heading = "Where the counts are"

    layer: Annotated[
        str | None,
        typer.Option(
            "--layer", metavar="NAME", help="Layer that holds the raw counts; X if not given."
        ),
    ] = None
    use_raw: Annotated[
        bool, typer.Option("--use-raw", help="Take raw counts and their peaks from raw.")
    ] = False
    mod: Annotated[
        str | None,
        typer.Option(
            "--mod",
            metavar="NAME",
            help="Modality of an h5mu with the peaks, if it is not called like atac or peaks.",
        ),
    ] = None


def grouped(function: Callable[..., None]) -> Callable[..., None]:
    """A command whose arguments that are an `OptionGroup` are given to typer field by field.

    Parameters
    ----------
    function : callable
        Typed; groups are filled from the command line, the other arguments are as they were.
    """
    groups: dict[str, type[OptionGroup]] = {}
    taken: list[inspect.Parameter] = []
    hints = get_type_hints(function, include_extras=True)
    for name, given in inspect.signature(function).parameters.items():
        kind = hints[name]
        if isinstance(kind, type) and issubclass(kind, OptionGroup):
            groups[name] = kind
            taken += _options_of(kind)
        else:
            taken.append(given.replace(kind=given.KEYWORD_ONLY, annotation=kind))

    @functools.wraps(function)
    def command(**values: Any) -> None:  # noqa: ANN401 - what the options hold
        made = {
            name: kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        function(**values, **made)

    command.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in taken}
    return command


def _options_of(group: type[OptionGroup]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=_under(group.heading, hints[field.name]),
        )
        for field in fields(group)
    ]


def _under(heading: str, annotated: Any) -> Any:  # noqa: ANN401 - types are values here
    """The annotation of an option that stands under a heading of the help."""
    option: OptionInfo = copy.copy(annotated.__metadata__[0])
    option.rich_help_panel = heading
    return Annotated[annotated.__origin__, option]
