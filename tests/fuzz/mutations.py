"""Ways to damage a valid input: bytes of any format, values of JSON, parts of an ONNX file."""

from __future__ import annotations

import json
import re
from random import Random

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
VALUES = (
    None, True, False, "", "x", "NaN", "\0", "\u001b[2J", "../x", "/etc/passwd", "ä" * 300, [], {}, [[]], [None], [1, 2], ["B04"],
    0.5, 1e308, -1e308, 1e-308, *NUMBERS,
)  # fmt: skip


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
    """A valid JSON text with some of its values replaced, removed or doubled."""
    root = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        places = [(root, None)]
        for node, _ in places:
            keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
            places += [(node[key], (node, key)) for key in keys if isinstance(node[key], (dict, list))]
        node = rng.choice(places)[0]
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            continue
        key, kind = rng.choice(keys), rng.randrange(5)
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, list):
            node.append(node[key])
        elif kind == 2:
            node[key] = node[rng.choice(keys)] if isinstance(node, list) else {"x": node[key]}
        else:
            node[key] = rng.choice(VALUES)
        if not isinstance(root, dict) or not root:
            break
    return json.dumps(root).encode()


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
            entry.value = json.dumps(rng.choice(VALUES))
        elif kind == 13:
            entry.value = mutate_bytes(rng, entry.value.encode()).decode("utf-8", "replace")
        elif kind == 14:
            entry.key = rng.choice((rng.choice(list(proto.metadata_props)).key, "x"))
        else:
            value = rng.choice([*graph.input, *graph.output])
            value.type.tensor_type.shape.dim.add(dim_value=rng.choice(NUMBERS[:15]))
    return proto.SerializeToString()
