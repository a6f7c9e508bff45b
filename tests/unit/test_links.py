"""Links of the Markdown files lead somewhere, where the files lie."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = listed.stdout.split() or [str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md")]
    return [ROOT / name for name in names if (ROOT / name).exists()]


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as code hosts make them."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    heads = re.findall(r"^#+ +(.+?) *#*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page):
    text = _FENCE.sub("", page.read_text("utf-8"))
    dead = []
    for match in _LINK.finditer(text):
        link = match[1] or match[2]
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        known = target.exists() and (target.suffix != ".md" or not anchor)
        if not known and not (target.exists() and anchor in anchors(target)):
            dead.append(link)
    assert not dead
