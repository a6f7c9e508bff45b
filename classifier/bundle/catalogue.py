"""Bundles by name: those that come with peakatlas, and those in the user's cache."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from peakatlas.engine.errors import GenomeError

from .folder import SETTINGS_FILE

SHIPPED = Path(__file__).parent / "shipped"
NAME = re.compile(r"^[A-Za-z0-9][\w.-]{0,99}\Z")


def cached() -> Path:
    """Folder of the bundles that were fetched.

    Raises
    ------
    GenomeError
        If there can be no cache.
    """
    from peakatlas.engine.dna.fasta import cache_folder  # noqa: PLC0415 - needs numpy

    return cache_folder() / "bundles"


def known_bundles() -> dict[str, Path]:
    """Folder of each bundle that has a name, those that come with peakatlas first."""
    places = [SHIPPED]
    with suppress(GenomeError):
        places.append(cached())
    found: dict[str, Path] = {}
    for place in places:
        for settings in sorted(place.glob(f"*/{SETTINGS_FILE}")):
            if NAME.match(settings.parent.name):
                found.setdefault(settings.parent.name, settings.parent)
    return found


def find_bundle(given: str | Path) -> Path:
    """Folder of a bundle, by path or by name; a path that is there comes first.

    Parameters
    ----------
    given : str or Path

    Returns
    -------
    Path
        As given where nothing has that name.
    """
    path = Path(given)
    if path.exists() or not NAME.match(str(given)):
        return path
    return known_bundles().get(str(given), path)
