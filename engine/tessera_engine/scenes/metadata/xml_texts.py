"""The texts of an XML file's elements, read in a way that no malicious file can abuse."""

from __future__ import annotations

from collections.abc import Collection
from xml.parsers import expat

from tessera_engine.scenes.products import Unusable


def texts(content: bytes, tags: Collection[str]) -> dict[str, list[str]]:
    """The texts of all elements with certain names, in order; namespaces are ignored.

    A document type is refused: it declares entities, with which a file can grow without limit or read other files.
    No product has one.

    Args:
        content: the XML file.
        tags: names of elements, without their namespace.

    Returns:
        Name -> texts.

    Raises:
        Unusable: the file is not well-formed, or has a document type.
    """
    found: dict[str, list[str]] = {tag: [] for tag in tags}
    open_texts: list[list[str]] = []

    def start(name: str, attributes: object) -> None:
        open_texts.append([])

    def end(name: str) -> None:
        text = "".join(open_texts.pop()).strip()
        tag = name.rsplit(":", 1)[-1]
        if tag in found:
            found[tag].append(text)

    def characters(text: str) -> None:
        open_texts[-1].append(text)

    def refuse(*declaration: object) -> None:
        raise Unusable("has a document type (DOCTYPE), which is refused: no product's metadata have one")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise Unusable(f"is not well-formed XML ({error})") from None
    return found
