"""What README and the pages of the site print: their fenced blocks and the commands in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_LAUNCHED = re.compile(r".*-m peakatlas (.+)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    kind: str
    text: str
    not_run: str
    """Why a test does not run it; empty if it does."""

    def lines(self) -> list[str]:
        """Commands, one a line, without comments and with continued lines joined."""
        joined = self.text.replace("\\\n", " ")
        stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
        return [line for line in stripped if line]

    def commands(self) -> list[list[str]]:
        """Words after the name of each line that calls peakatlas itself."""
        return [shlex.split(line)[1:] for line in self.lines() if line.startswith("peakatlas ")]

    def launched(self) -> list[list[str]]:
        """The same of each line where a launcher calls it."""
        found = (_LAUNCHED.fullmatch(line) for line in self.lines())
        return [shlex.split(match[1]) for match in found if match]


def pages() -> list[str]:
    """README and every page that is written by hand, as paths below the root."""
    docs = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
    return ["README.md", "CONTRIBUTING.md", *docs]


def blocks(page: str) -> list[Block]:
    """Fenced blocks of a page."""
    text = (ROOT / page).read_text("utf-8")
    return [
        Block(page, match["kind"], match["text"], match["reason"] or "")
        for match in _FENCE.finditer(text)
    ]
