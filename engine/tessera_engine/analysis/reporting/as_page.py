"""A report as one HTML page that stands alone: its figures are in it, and it has no scripts and needs no network."""

from __future__ import annotations

import base64
from html import escape

from tessera_engine.analysis.reporting.document import (
    Block,
    Document,
    Facts,
    Figure,
    Heading,
    Notes,
    Paragraph,
    Table,
)
from tessera_engine.errors import plain

STYLE = """
:root { color-scheme: light dark;
  --ink: #1b1b1b; --paper: #ffffff; --line: #d4d4d4; --shade: #f4f4f2; --note: #7a4b00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e6; --paper: #161616; --line: #444444; --shade: #222222; --note: #f0c070; }
}
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
thead th { background: var(--shade); vertical-align: bottom; white-space: normal; }
tr > :first-child { text-align: left; }
tbody th { font-weight: normal; }
.note { color: var(--note); }
img { max-width: 100%; height: auto; background: #ffffff; }
.facts th { vertical-align: top; }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
@media print {
  body { max-width: none; padding: 0; font-size: .8rem; }
  .table { overflow-x: visible; }
  th, td { white-space: normal; padding: .2rem .4rem; }
  h2 { break-after: avoid; }
  tr, img { break-inside: avoid; }
}
""".strip()

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What the page may load: nothing that isn't in it."""


def to_page(document: Document) -> str:
    """The whole page.

    Raises:
        OSError: a figure can't be read.
    """
    title = _text(document.title)
    body = "\n".join(_block(block) for block in document.blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h2>{_text(block.text)}</h2>"
    if isinstance(block, Paragraph):
        return f"<p>{_text(block.text)}</p>"
    if isinstance(block, Notes):
        return "\n".join(f'<p class="note">Note: {_text(line)}.</p>' for line in block.lines)
    if isinstance(block, Figure):
        code = base64.b64encode(block.path.read_bytes()).decode("ascii")
        return f'<p><img alt="{_text(block.alt)}" src="data:image/png;base64,{code}"></p>'
    if isinstance(block, Facts):
        return _facts(block)
    return _table(block)


def _facts(facts: Facts) -> str:
    rows = "\n".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>' for name, value in facts.rows
    )
    return f'<table class="facts"><tbody>\n{rows}</tbody></table>'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in table.header)
    rows = "\n".join(
        f'<tr><th scope="row">{_text(row[0])}</th>{"".join(f"<td>{_text(cell)}</td>" for cell in row[1:])}</tr>'
        for row in table.rows
    )
    caption = f"<caption>{_text(table.caption)}</caption>" if table.caption else ""
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>"
    return f'<div class="table"><table>{caption}\n{body}</table></div>'


def _text(text: str) -> str:
    return escape(plain(text))
