"""Pages and report use the words of the field: none of the first column of the word list."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTED = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", (ROOT / "docs/style-words.md").read_text(), re.M)
WORDS = [word.strip() for row in LISTED[2:] for word in row.split(", ")]
CHECKED = ("told", "judge", "hundredth", "used only by name", "save that", "survey", "unsure")
PAGES = [
    *(
        page
        for page in sorted((ROOT / "docs").glob("*.md"))
        if page.name not in {"style-words.md", "decisions.md"}
    ),
    *sorted((ROOT / "classifier/report/assets").glob("*.*")),
]


def test_the_list_holds_the_words_that_are_checked():
    assert set(CHECKED) <= set(WORDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_none_of_them(page):
    found = re.findall(rf"\b(?:{'|'.join(CHECKED)})s?\b", page.read_text("utf-8"), re.I)
    assert found == []
