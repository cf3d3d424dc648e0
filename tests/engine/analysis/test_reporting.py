"""Reports: one source, as Markdown and as a page that stands alone, whatever names hold."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

import pytest
from PIL import Image

from tessera_engine.analysis.reporting.as_markdown import to_markdown
from tessera_engine.analysis.reporting.as_page import to_page
from tessera_engine.analysis.reporting.document import (
    Document,
    Facts,
    Figure,
    Heading,
    Notes,
    Paragraph,
    Table,
)
from tessera_engine.analysis.reporting.write import write_report

HOSTILE = "<script>alert(1)</script> & \"a|b\" 'c' [d](http://e) `f` *g*\x1b[31m\u202e"


@pytest.fixture
def document(tmp_path):
    Image.new("RGB", (3, 2), "red").save(tmp_path / "figure.png")
    return Document(
        HOSTILE,
        (
            Paragraph(HOSTILE),
            Notes((HOSTILE, "second")),
            Heading(HOSTILE),
            Table((HOSTILE, "ha"), ((HOSTILE, "1.5"), ("maize", "2.5")), HOSTILE),
            Figure(tmp_path / "figure.png", HOSTILE),
            Facts(((HOSTILE, HOSTILE),)),
        ),
    )


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.texts, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "action", "srcset")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)


def test_the_page_stands_alone(document, tmp_path):
    text = to_page(document)
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "form", "a"} & set(page.tags)
    (figure,) = page.links
    head, code = figure.split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(code) == (tmp_path / "figure.png").read_bytes()
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://e", "")


def test_names_are_text_in_the_page(document):
    shown = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    texts = Page(to_page(document)).texts
    # Title, heading of the page, paragraph, section, caption, header, cell, and a fact's name and value; and the note
    # with its own words
    assert texts.count(shown) == 9
    assert f"Note: {shown}." in texts


def test_tables_of_markdown_have_their_columns(document):
    lines = to_markdown(document).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 5
    for row in rows:
        assert row.replace("\\|", "").count("|") == 3
    assert "\\<script>" in rows[0]
    assert "\x1b" not in "".join(lines)
    assert any(line.endswith("(figure.png)") for line in lines)


def test_both_are_written(document, tmp_path):
    folder = tmp_path
    (tmp_path / "a b").mkdir()
    (tmp_path / "figure.png").rename(tmp_path / "a b" / "figure.png")
    *blocks, _, facts = document.blocks
    document = Document("t", (*blocks, Figure(tmp_path / "a b" / "figure.png", "f"), facts))
    assert [asset.file_name for asset in write_report(folder, document)] == ["report.md", "report.html"]
    assert (folder / "report.md").read_text(encoding="utf-8") == to_markdown(document, folder)
    assert (folder / "report.html").read_text(encoding="utf-8") == to_page(document)
    assert "](a%20b/figure.png)" in (folder / "report.md").read_text(encoding="utf-8")
