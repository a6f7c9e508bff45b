"""The weight files of a local Hugging Face directory, and the licence that its README names."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from peakatlas.engine.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = re.compile(r"^(esm|bert|model)\.")
_NOT_ENCODER = re.compile(
    r"^(lm_head|kmer_head|cls|head|decoder|classifier)\.|pooler|contact_head|inv_freq|position_ids"
)

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---", re.DOTALL)
_LICENCE = re.compile(r"^license(?:_name)?:\s*[\"']?([\w.+-]+)", re.MULTILINE)


def read_licence(path: Path) -> str:
    """Licence in the front matter of a model's README.md, ``unknown`` if there is none."""
    readme = path / "README.md"
    text = readme.read_text("utf-8", "replace") if readme.is_file() else ""
    front = _FRONT_MATTER.match(text.replace("\r\n", "\n"))
    found = _LICENCE.findall(front.group(1)) if front else []
    named = [name for name in found if name != "other"]
    return named[0] if named else "unknown"


def weight_files(path: Path) -> list[Path]:
    """Safetensors files of a directory in order of name.

    Raises
    ------
    ModelError
        If there are none.
    """
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise ModelError(
            f"{path}: no safetensors weights. Pickled weights are never loaded; convert them."
        )
    return files


def inspect_weights(path: Path) -> tuple[frozenset[str], int]:
    """Names of the weights without the model's prefix, and their number outside heads.

    Raises
    ------
    ModelError
        If there are no weights, or a file is damaged.
    """
    names: set[str] = set()
    n_parameters = 0
    for file in weight_files(path):
        try:
            with safe_open(file, "np") as weights:
                for name in weights.keys():  # noqa: SIM118 (not a dict)
                    names.add(_PREFIX.sub("", name))
                    if not _NOT_ENCODER.search(name):
                        n_parameters += math.prod(weights.get_slice(name).get_shape())
        except (SafetensorError, OSError) as fault:
            raise ModelError(f"{file}: damaged weights ({fault}). Fetch them again.") from fault
    return frozenset(names), n_parameters
