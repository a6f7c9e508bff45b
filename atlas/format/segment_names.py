"""Folders of segments are numbered."""

from __future__ import annotations


def segment_name(number: int) -> str:
    """Name of the folder of a segment."""
    return f"segment-{number:04d}"


def next_segment(name: str) -> str:
    """Name of the segment that follows another.

    Examples
    --------
    >>> next_segment("segment-0009")
    'segment-0010'
    """
    return segment_name(segment_number(name) + 1)


def segment_number(name: str) -> int:
    """Number of a segment by its name."""
    return int(name.removeprefix("segment-"))
