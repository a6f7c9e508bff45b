"""A virtual environment for each peer, since their requirements exclude one another."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"


def interpreter(peer: str, folder: Path) -> Path:
    """Python of a peer's environment, made anew where its pinned requirements have changed.

    Parameters
    ----------
    peer : str
        Name of a file in ``requirements/``.
    folder : Path
        Where the environments are; those of torch take 1 to 2 GB each.

    Raises
    ------
    subprocess.CalledProcessError
        If pip cannot install a requirement; it prints why.
    """
    pinned = (REQUIREMENTS / f"{peer}.txt").read_text()
    place = folder.resolve() / peer
    python, made_for = place / "bin" / "python", place / "requirements.txt"
    if not made_for.exists() or made_for.read_text() != pinned:
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        command = [python, "-m", "pip", "install", "--quiet", "--requirement", "/dev/stdin"]
        subprocess.run(command, input=pinned, text=True, stdout=sys.stderr, check=True)
        made_for.write_text(pinned)
    return python


def versions(python: Path) -> dict[str, str]:
    """Installed packages by name."""
    command = [python, "-m", "pip", "list", "--format", "json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {package["name"]: package["version"] for package in json.loads(listed)}
