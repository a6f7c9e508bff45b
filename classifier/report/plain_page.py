"""Pages without scripts: a heading, cards of tables, in the report's style; they work offline."""

from __future__ import annotations

import html
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PAGE = files(__package__).joinpath("assets")
_DARK = """
@media (prefers-color-scheme: dark) { :root { color-scheme: dark;
  --page: #10151b; --card: #181f28; --ink: #e6ebf1; --soft: #a3aebb; --line: #2b3541;
  --accent-soft: #21304d; --warn: #2b2413; --calm: #16281e; --bad: #331a18; } }
"""


def page_file(name: str) -> str:
    """Text of a file of the page, such as ``style.css``."""
    return PAGE.joinpath(name).read_text(encoding="utf-8")


def plain_page(title: str, sections: Iterable[tuple[str, str]], version: str) -> str:
    """A page of its own.

    Parameters
    ----------
    title : str
        Plain text.
    sections : iterable of (str, str)
        Heading, plain, and content, HTML.
    version : str
        Of peakatlas, plain.
    """
    heading = html.escape(title)
    body = "".join(
        f'<section class="card"><h2>{html.escape(name)}</h2>{content}</section>'
        for name, content in sections
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{heading}</title>\n<style>{page_file('style.css')}{_DARK}</style>\n</head>\n"
        f'<body><main id="main"><h1>{heading}</h1>{body}</main>'
        f'<footer class="inner">Made by peakatlas {html.escape(version)}. This page works '
        "offline.</footer></body>\n</html>\n"
    )


def html_table(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    book: Mapping[str, str] | None = None,
    cell: Callable[[str], str] = html.escape,
) -> str:
    """A table of plain texts; the first column names the rows.

    Parameters
    ----------
    caption : str
    head : sequence of str
    rows : sequence of sequence of str
    book : mapping, optional
        Colours: a row whose name has one begins with a dot of it.
    cell : callable
        HTML of the text of a cell.
    """
    titles = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in head)
    body = "".join(
        f'<tr><th scope="row">{_dot(first, book or {})}{html.escape(first)}</th>'
        + "".join(f"<td>{cell(text)}</td>" for text in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{html.escape(caption)}">'
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{titles}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _dot(name: str, book: Mapping[str, str]) -> str:
    return f'<span class="dot" style="background:{book[name]}"></span>' if name in book else ""
