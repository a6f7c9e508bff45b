"""Generated pages, tables and figures of the documentation site."""

import json
import sys

import pytest

import peakatlas
from benchmarks.readme_tables import RESULTS, ROOT
from peakatlas.engine.models.table import MODELS


@pytest.fixture(scope="module")
def site():
    """The modules that mkdocs imports by their bare names."""
    folder = str(ROOT / "scripts" / "site")
    sys.path.insert(0, folder)
    try:
        import fill  # noqa: PLC0415 - found by the path above
        import pages  # noqa: PLC0415 - as above
        import tables  # noqa: PLC0415 - as above

        yield {"fill": fill, "pages": pages, "tables": tables}
    finally:
        sys.path.remove(folder)


def test_figures_are_those_of_the_results(site):
    cells = json.loads((RESULTS / "lookup.json").read_text())["queries"]
    filled = site["fill"].filled
    once = filled("{{ lookup/queries }} and {{lookup/queries | ,d}}", "x.md")
    assert once == (
        f"<!-- figure: lookup/queries -->{cells}<!-- end --> and "
        f"<!-- figure: lookup/queries:,d -->{cells:,}<!-- end -->"
    )
    assert filled(once.replace(f">{cells}<", ">7<"), "x.md") == once


def test_tables_are_filled_in_place(site):
    filled = site["fill"].filled
    once = filled("a\n\n<!-- table: tiers -->\n\nb\n", "x.md")
    assert once.startswith("a\n\n<!-- table: tiers -->\n| tier |")
    assert once.endswith("|\n<!-- end of table -->\n\nb\n")
    assert filled(once.replace("| `exact`", "| `old`"), "x.md") == once


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ lookup/nonsense }}", "lookup.json has no nonsense"),
        ("{{ nonsense/cells }}", "there is no nonsense.json"),
        ("{{ lookup/queries/more }}", "has no more"),
        ("<!-- table: nonsense -->", "there is no table nonsense"),
    ],
)
def test_what_is_not_there_ends_the_build(site, text, fault):
    with pytest.raises(ValueError, match=fault):
        site["fill"].filled(text, "x.md")


def test_pages_hold_the_tables_and_figures_of_the_results(site):
    for page in (ROOT / "docs").glob("*.md"):
        text = page.read_text("utf-8")
        assert site["fill"].filled(text, page.name) == text, f"run scripts/site/fill.py: {page}"
        assert "{{" not in text


def test_every_table_can_be_made(site):
    for name, make in site["tables"].TABLES.items():
        assert make().count("\n") >= 2, name
    assert all(f"`{name}`" in site["tables"].models() for name in MODELS)


def test_every_result_is_on_the_benchmarks_page(site):
    page = site["pages"].benchmarks_page()
    for file in RESULTS.glob("*.json"):
        assert f"\n## {file.stem}\n" in page
    assert "| `fragments_per_second_per_core` | 1," in page
    assert page.count("\nMeasured 20") == len(list(RESULTS.glob("*.json")))


def test_help_of_every_command_and_every_public_name_is_there(site):
    commands, names = site["pages"].commands_page(), site["pages"].api_page()
    for path in ("", " count", " train", " annotate", " atlas build", " atlas verify", " doctor"):
        assert f"\n## peakatlas{path}\n" in commands
        assert f"Usage: peakatlas{path} [OPTIONS]" in commands
    assert all(f"\n::: peakatlas.{name}\n" in names for name in peakatlas.__all__)


def test_links_lead_to_pages_of_the_site(site):
    relinked = site["pages"].relinked
    text = (
        "[a](docs/models.md#licence) [b](atlas/FORMAT.md) [c](https://x.org) [d](Makefile) [e](#x)"
    )
    assert relinked(text, "README.md") == (
        "[a](models.md#licence) [b](format.md) [c](https://x.org) d [e](#x)"
    )
