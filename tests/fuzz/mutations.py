"""Ways to damage a valid input: bytes of any format, values of JSON, names, XML, zips, parts of an ONNX file."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from copy import deepcopy
from random import Random

from tessera_engine.stac.items import ITEM_SHA256, item_sha256

NUMBERS = (
    0,
    1,
    -1,
    2,
    7,
    127,
    128,
    255,
    256,
    366,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32,
    2**63,
    2**64,
    -(2**63),
)
HARMFUL = (
    "\0",
    "\u001b[2J\u001b]0;x\u0007",
    "\u009b31m",
    "\u007f",
    "\u202eabc\u2066",
    "a\u2028b",
    "a\r\nb",
    "\udce9",
)
"""Texts that a terminal obeys, that break a line, or that aren't text."""

TEXTS = (
    "", "x", "NaN", "nan", "inf", "1e400", "../x", "/etc/passwd", "//host/x", "file:///etc/passwd", "C:\\x", "https://192.0.2.1/x",
    "/vsicurl/http://192.0.2.1/x.tif", "EPSG:4326", "EPSG:999999", "2024-02-30T00:00:00Z", "9999-12-31T23:59:59-12:00",
    "0000-00-00", "%00", "%2e%2e/x", "{0}", "%s", "ä" * 300, "x" * 100_000, "農田", "[bold]", *HARMFUL,
)  # fmt: skip

VALUES = (
    None, True, False, [], {}, [[]], [None], [1, 2], ["B04"], {"x": 1}, [[[[1]]]], [{}],
    0.5, -0.0, 1e308, -1e308, 1e-308, *NUMBERS, *TEXTS,
)  # fmt: skip

_DEEP = 100_000
TOKENS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"9" * 5000, b"-" + b"9" * 400, b"1e-400", b"0x10", b"01", b"'x'",
    b'"\\ud800"', b'"\xff"', b'"\x01"', b"[" * 500 + b"]" * 500, b"[" * _DEEP + b"]" * _DEEP, b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b'{"a":1,"a":[]}', b"", b"undefined",
)  # fmt: skip
"""Parts of a JSON text that Python's own values can't give."""


def mutate_bytes(rng: Random, data: bytes) -> bytes:
    """A few random edits: flipped bits, other bytes, parts cut out, doubled, moved; other numbers in text."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        n = len(changed)
        at, length = rng.randrange(n + 1), rng.choice((1, 1, 2, 4, 8, 64, 1000))
        kind = rng.randrange(9)
        if kind == 0 and n:
            changed[at % n] ^= 1 << rng.randrange(8)
        elif kind == 1 and n:
            changed[at % n] = rng.randrange(256)
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        elif kind == 4:
            changed[at:at] = rng.randbytes(length)
        elif kind == 5:
            del changed[at:]
        elif kind == 6:
            value = rng.choice(NUMBERS) % (1 << 8 * min(length, 8))
            changed[at : at + min(length, 8)] = value.to_bytes(min(length, 8), rng.choice(("little", "big")))
        elif kind == 7:
            source = rng.randrange(n + 1)
            changed[at : at + length] = changed[source : source + length]
        else:
            # The first kilobyte only: headers are there, and a search through a picture would be slow
            found = list(re.finditer(rb"\d+", bytes(changed[:1000])))
            if found:
                spot = rng.choice(found)
                changed[spot.start() : spot.end()] = str(rng.choice(NUMBERS)).encode()
    return bytes(changed)


def mutate_json(rng: Random, data: bytes) -> bytes:
    """A JSON text with some of its values replaced, removed, doubled or of another type, at any depth."""
    root = json.loads(data)
    tokens = {}
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        node = root = root if isinstance(root, (dict, list)) and root else [root]
        # Down at random, so that the few fields near the root are hit as often as the many coordinates
        while True:
            key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if not isinstance(node[key], (dict, list)) or not node[key] or rng.random() < 0.3:
                break
            node = node[key]
        _change(rng, node, key, tokens)
    text = json.dumps(root).encode()
    for name, token in tokens.items():
        text = text.replace(f'"{name}"'.encode(), token)
    return text


def _change(rng: Random, node: dict | list, key: object, tokens: dict[str, bytes]) -> None:
    """Change one value of an object or list."""
    kind, value = rng.randrange(9), deepcopy(node[key])  # a value in two places would be changed in both
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, list):
        node.insert(rng.randrange(len(node) + 1), value)
    elif kind == 1:
        node[rng.choice(TEXTS[:-1])] = value
    elif kind == 2:
        other = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        node[key] = [value] if isinstance(node[other], (dict, list)) else node[other]
    elif kind == 3:
        node[key] = rng.choice(({"x": value}, [value], [value] * 3, str(value), bool(value)))
    elif kind == 4:
        name = node[key] = f"token{len(tokens)}"
        tokens[name] = rng.choice(TOKENS)
    elif kind == 5 and isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        node[key] = value[:at] + rng.choice(TEXTS) + value[at:]
    elif kind == 5 and isinstance(value, (int, float)):
        value = min(max(value, -(10**300)), 10**300)  # larger ones are no floats
        node[key] = rng.choice(
            (-value, value + 1, value - 1, float(value), value * 10**6, value + 0.5, 1e308 * (value or 1))
        )
    else:
        node[key] = deepcopy(rng.choice(VALUES))


def mutate_lines(rng: Random, data: bytes) -> bytes:
    """A list of names, one a line, with names changed, doubled, moved into each other, or hostile."""
    names = data.decode("utf-8", "surrogateescape").split("\n")
    for _ in range(rng.choice((1, 1, 2, 6))):
        at = rng.randrange(len(names))
        name, kind = names[at], rng.randrange(9)
        spot = rng.randrange(len(name) + 1)
        if kind == 0 and len(names) > 1:
            del names[at]
        elif kind == 1:
            names.append(name[:spot] + rng.choice("0123456789ABZ_-.") + name[spot:])
        elif kind == 2:
            names[at] = name[:spot] + rng.choice(TEXTS) + name[spot:]
        elif kind == 3:
            numbers = list(re.finditer(r"\d+", name))
            if numbers:
                found = rng.choice(numbers)
                number = rng.choice(
                    ("0" * len(found[0]), "9" * len(found[0]), "", "20240230", "00000000", "٣٣")
                )
                names[at] = name[: found.start()] + number + name[found.end() :]
        elif kind == 4:
            names[at] = f"{rng.choice(names)}/{name}"
        elif kind == 5:
            names[at] = name.swapcase()
        elif kind == 6:
            names[at] = name[:spot] + rng.choice(names)[spot:]
        elif kind == 7:
            names[at] = name.rsplit(".", 1)[0] + rng.choice(
                (".zip", ".tif", ".nc", ".zarr", ".SAFE", ".json", ".jp2", ".xml")
            )
        else:
            names[at] = name[:spot] + name[spot + rng.choice((1, 2, 5)) :]
    return "\n".join(names).encode("utf-8", "surrogateescape")


BOMBS = (
    b"<!DOCTYPE a [" + b"<!ENTITY b0 'x'>" + b"".join(b"<!ENTITY b%d '%s'>" % (i + 1, b"&b%d;" % i * 10) for i in range(12)) + b"]>",
    b"<!DOCTYPE a [<!ENTITY b12 SYSTEM 'file:///etc/passwd'>]>",
    b"<!DOCTYPE a SYSTEM 'http://192.0.2.1/x.dtd'>",
    b"<!DOCTYPE a [<!ENTITY % b SYSTEM 'file:///etc/passwd'> %b;]>",
)  # fmt: skip


def mutate_xml(rng: Random, data: bytes) -> bytes:
    """An XML text with other texts and elements, elements in each other, entities that grow, or other encodings."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        kind = rng.randrange(9)
        elements = list(re.finditer(rb"<(\w+)([^<>]*)>([^<>]*)</", data))
        spot = rng.choice(elements).span(3) if elements else (0, 0)
        text = rng.choice([text for text in TEXTS if len(text) < 1000]).encode("utf-8", "surrogateescape")
        if kind == 0:
            data = data[: spot[0]] + text + data[spot[1] :]
        elif kind == 1:
            data = data[: spot[0]] + str(rng.choice(NUMBERS)).encode() + data[spot[1] :]
        elif kind == 2:
            body = data.split(b"?>", 1)[-1]
            at = spot[0] - (len(data) - len(body))
            data = rng.choice(BOMBS) + (body[:at] + b"&b12;" + body[at:] if at > 0 else body)
        elif kind == 3:
            depth = rng.choice((10, 1000, 50_000))
            data = data[: spot[0]] + b"<a>" * depth + b"</a>" * depth + data[spot[1] :]
        elif kind == 4 and elements:
            found = rng.choice(elements)
            data = data.replace(found[1], rng.choice(elements)[1], rng.choice((1, -1)))
        elif kind == 5 and elements:
            found = rng.choice(elements)
            data = (
                data[: found.start()]
                + data[found.start() : found.end()]
                + found[1]
                + b">"
                + data[found.start() :]
            )
        elif kind == 6:
            data = (
                b"<?xml version='1.0' encoding='%s'?>"
                % rng.choice((b"utf-16", b"x", b"utf-7", b"idna", b"cp037"))
                + data
            )
        elif kind == 7:
            data = data.replace(
                b"</", rng.choice((b"<![CDATA[x]]></", b"<!-- x --></", b"&#27;</", b"&#x202e;</")), 1
            )
        else:
            data = mutate_bytes(rng, data)
    return data


def mutate_zip(rng: Random, data: bytes, inner: Callable[[Random, bytes], bytes] = mutate_bytes) -> bytes:
    """A zip with other contents and names of its members, or that promises other sizes; its checksums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    packed = zipfile.ZIP_STORED
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(members)) if members else 0
        kind = rng.randrange(8)
        name, content = members[at] if members else ("x", b"")
        if kind == 0 and members:
            del members[at]
        elif kind == 1:
            members.append((name, content))
        elif kind == 2:
            members[at:at] = [
                (
                    mutate_lines(rng, name.encode("utf-8", "surrogateescape")).decode("utf-8", "replace"),
                    content,
                )
            ]
        elif kind == 3:
            members.append((rng.choice(TEXTS), content))
        elif kind == 4:
            members.append((f"{name}.big", bytes(30_000_000)))
            packed = zipfile.ZIP_DEFLATED
        elif members:
            members[at] = (name, inner(rng, content))
    made = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that are there twice
        with zipfile.ZipFile(made, "w", packed) as archive:
            for name, content in members:
                try:
                    archive.writestr(name.replace("\0", "") or "x", content)
                except (UnicodeEncodeError, zipfile.LargeZipFile, struct.error):
                    continue
    packed_bytes = made.getvalue()
    if rng.random() < 0.3:
        at = packed_bytes.rfind(b"PK\1\2")  # the directory, which is read first
        packed_bytes = packed_bytes[:at] + mutate_bytes(rng, packed_bytes[at:])
    return packed_bytes


def mutate_onnx(rng: Random, data: bytes) -> bytes:
    """A model file with other shapes, names, operators, attributes, facts, or parts that it shouldn't have."""
    import onnx
    from onnx import helper

    proto = onnx.ModelProto.FromString(data)
    graph = proto.graph
    for _ in range(rng.choice((1, 1, 2, 4))):
        tensor, node, entry = (
            rng.choice(list(each)) for each in (graph.initializer, graph.node, proto.metadata_props)
        )
        kind = rng.randrange(16)
        if kind == 0:
            size = rng.choice(NUMBERS[:15])
            tensor.dims[:] = [size, *tensor.dims][: rng.randrange(4)]
        elif kind == 1 and tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] += rng.choice((-1, 1, 1 << 40))
        elif kind == 2:
            tensor.data_type = rng.randrange(-2, 30)
        elif kind == 3:
            tensor.raw_data = mutate_bytes(rng, tensor.raw_data)
        elif kind == 4:
            tensor.name = rng.choice((rng.choice(list(graph.initializer)).name, tensor.name + "x", ""))
        elif kind == 5:
            rng.choice((graph.initializer, graph.node)).pop(0)
        elif kind == 6:
            tensor.data_location = 1
        elif kind == 7:
            tensor.external_data.add(key="location", value=rng.choice(("../x", "/etc/passwd", "")))
        elif kind == 8:
            node.op_type = rng.choice(
                ("Loop", "If", "Expand", "ConstantOfShape", "Tile", "Transpose", "Split")
            )
        elif kind == 9 and node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(list(graph.initializer)).name
        elif kind == 10:
            graph.node.insert(rng.randrange(len(graph.node)), node)
        elif kind == 11:
            values = rng.choice((2**63 - 1, -5, 0.5, [9, 9], "x"))
            node.attribute.append(helper.make_attribute(rng.choice(("axis", "perm", "to", "x")), values))
        elif kind == 12:
            entry.value = rng.choice((json.dumps(rng.choice(VALUES)), rng.choice(TOKENS).decode("latin-1")))
        elif kind == 13:
            entry.value = mutate_bytes(rng, entry.value.encode()).decode("utf-8", "replace")
        elif kind == 14:
            entry.key = rng.choice((rng.choice(list(proto.metadata_props)).key, "x"))
        else:
            value = rng.choice([*graph.input, *graph.output])
            value.type.tensor_type.shape.dim.add(dim_value=rng.choice(NUMBERS[:15]))
    return proto.SerializeToString()


def mutate_checkpoint(rng: Random, data: bytes) -> bytes:
    """A torch file with other arguments, weights, layouts or kinds of values."""
    import torch

    content = torch.load(io.BytesIO(data), weights_only=True)
    for _ in range(rng.choice((1, 1, 2))):
        part = rng.choice([name for name in content if isinstance(content[name], dict)])
        inside = content[part]
        if not inside:
            continue
        key, kind = rng.choice(list(inside)), rng.randrange(8)
        value = inside[key]
        if kind == 0:
            del inside[key]
        elif kind == 1:
            inside[rng.choice(TEXTS)] = value
        elif kind == 2:
            content[part] = rng.choice(([], None, "x", {}, 1, list(inside)))
            break
        elif kind == 3 or not isinstance(value, torch.Tensor):
            inside[key] = rng.choice(VALUES)
        elif kind == 4:
            inside[key] = value.to(
                rng.choice((torch.float16, torch.int8, torch.complex64, torch.bool, torch.float64))
            )
        elif kind == 5:
            turned = value.t() if value.ndim == 2 else value[None]
            forms = (value.to_sparse(), turned, value[..., :0])
            inside[key] = rng.choice(forms)
        elif kind == 6:
            inside[key] = value.reshape(-1)[:1].expand(10**9)
        else:
            inside[key] = value * rng.choice((float("nan"), float("inf"), 1e38, 0.0))
    made = io.BytesIO()
    torch.save(content, made)
    return made.getvalue()


def mutate_journal(rng: Random, data: bytes) -> bytes:
    """Records of a journal with other values, and right checksums."""
    lines = [line for line in data.split(b"\n") if line]
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.randrange(len(lines))
        text = lines[at].partition(b" ")[2]
        try:
            text = mutate_json(rng, text)
        except (ValueError, RecursionError):  # it was changed before
            text = mutate_bytes(rng, text)
        lines[at] = hashlib.sha256(text).hexdigest()[:16].encode() + b" " + text
    return b"\n".join(lines) + b"\n"


def mutate_item(rng: Random, data: bytes) -> bytes:
    """An item.json with other values, and as often as not with the checksum that it should have."""
    changed = mutate_json(rng, data)
    if rng.random() < 0.7:
        try:
            item = json.loads(changed)
            item["properties"][ITEM_SHA256] = item_sha256(item)
            sealed = json.dumps(item).encode("ascii")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return changed
        return sealed
    return changed
