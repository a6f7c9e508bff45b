"""JSON documents that come from elsewhere: read whole, checked against a model, then trusted.

A document is described once, as a `msgspec.Struct` with types, ranges and patterns::

    class Card(Document):
        name: Text
        n_rows: Count

    card = read_document(path.read_bytes(), Card, str(path), AtlasError)

What passes has the types that the model states. Keys that the model does not name are left out of
it and kept in the parsed JSON, unless the model forbids them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from .errors import PeakAtlasError

    T = TypeVar("T")

MOST_BYTES = 1 << 24
"""Longest document, in bytes: parsed, JSON takes up to 12 times as much memory."""
MOST_INSIDE = 1 << 20
"""Most objects and lists in a document: an empty one takes three bytes, and parsed 72."""
MOST_DEPTH = 32
"""Most objects and lists within each other."""

Count = Annotated[int, Meta(ge=0, le=1 << 48)]
"""Number of things or bytes."""
Text = Annotated[str, Meta(max_length=1000)]
"""A name or short text."""
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""SHA-256, lower-case hex."""


_PATTERN = re.compile("Expected `str` matching regex '.*'")


class Document(msgspec.Struct, kw_only=True):
    """Base of the models; values are of exactly the stated types."""


def read_document(
    data: bytes, model: type[T], where: str, error: type[PeakAtlasError], *, most: int = MOST_BYTES
) -> T:
    """Parse a JSON document and check it against its model.

    Parameters
    ----------
    data : bytes
    model : type
        A `Document`, a dataclass, or any type that msgspec knows.
    where : str
        Path or URL of the document, for the text.
    error : type
        Raised when something is wrong.
    most : int
        Longest document, in bytes.

    Raises
    ------
    PeakAtlasError
        Of the type given: if it is too long, too deep, no JSON object, or not as the model says;
        names the place in the document.
    """
    return as_model(parse_object(data, where, error, most=most), model, where, error)


def parse_object(
    data: bytes, where: str, error: type[PeakAtlasError], *, most: int = MOST_BYTES
) -> dict[str, Any]:
    """Parse a JSON object of bounded length and depth.

    Parameters
    ----------
    data, where, error, most
        As in `read_document`.

    Raises
    ------
    PeakAtlasError
        Of the type given.
    """
    if len(data) > most:
        raise error(f"{where} has {len(data):,} bytes; such a document has {most:,} at most.")
    inside = data.count(b"{") + data.count(b"[")
    if inside > MOST_INSIDE:
        raise error(f"{where} holds {inside:,} objects and lists; {MOST_INSIDE:,} are the most.")
    try:
        values = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as fault:
        raise error(f"{where} is not JSON ({fault}): it is damaged.") from None
    if not isinstance(values, dict):
        raise error(f"{where} does not hold a JSON object: it is damaged.")
    if _is_deeper(values, MOST_DEPTH):
        raise error(f"{where} has more than {MOST_DEPTH} levels of JSON: it is damaged.")
    return values


def as_model(values: object, model: type[T], where: str, error: type[PeakAtlasError]) -> T:
    """Parsed JSON as an object of a model.

    Parameters
    ----------
    values : JSON types
    model, where, error
        As in `read_document`.

    Raises
    ------
    PeakAtlasError
        Of the type given; names the place in the document.

    Examples
    --------
    >>> from .errors import AtlasError
    >>> as_model({"n": -1}, dict[str, Count], "a.json", AtlasError)
    Traceback (most recent call last):
    peakatlas.engine.errors.AtlasError: a.json cannot be used: Expected `int` >= 0 - at `$[...]`.
    """
    try:
        return msgspec.convert(values, model)
    except (msgspec.ValidationError, RecursionError) as fault:
        said = _PATTERN.sub("a text of another form than it must have", str(fault))
        raise error(f"{where} cannot be used: {said}.") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _is_deeper(values: object, limit: int) -> bool:
    level: list[object] = [values]
    for _ in range(limit):
        level = [
            inside
            for each in level
            for inside in (each.values() if isinstance(each, dict) else each)  # type: ignore[attr-defined]
            if isinstance(inside, dict | list)
        ]
        if not level:
            return False
    return True
