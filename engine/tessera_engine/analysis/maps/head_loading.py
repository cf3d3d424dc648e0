"""Load a small ONNX network from elsewhere, after it was checked, and find out what it maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from tessera_engine.analysis.labels.classes import Classes, own_values
from tessera_engine.analysis.maps.head import Head
from tessera_engine.analysis.maps.heads import Graph, check_head
from tessera_engine.analysis.maps.predictor import Meaning
from tessera_engine.errors import ModelError, reason
from tessera_engine.files.document import Damaged, checked, parse
from tessera_engine.offline.onnx_runtime import onnx_runtime
from tessera_engine.pictures.colours import class_colour

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


def load_head(path: Path, content: bytes, threads: int) -> Head:
    """Check a network and load it.

    Args:
        path: of its file.
        content: its bytes.
        threads: CPU threads.

    Raises:
        ModelError: it isn't ONNX, or may do what a small network doesn't.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        model = onnx.ModelProto()
    if not model.graph.node:
        raise ModelError(f"{path} is neither a classifier that map saved nor an ONNX network")
    graph = check_head(model, str(path))
    meaning = _meaning(path, graph)
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no other common base
        raise ModelError(f"ONNX Runtime can't load {path}: {reason(error)}; export it again") from None
    return Head(path, graph, meaning, session)


def _meaning(path: Path, graph: Graph) -> Meaning:
    title = " ".join(graph.metadata.get("title", path.stem).split())[:100] or path.stem
    quality = "A network from elsewhere: its accuracy is not known"
    if graph.outputs == 1:
        return Meaning(title, None, {}, 1.0, quality)
    names = [str(number) for number in range(1, graph.outputs + 1)]
    if "classes" in graph.metadata:
        try:
            names = checked(parse(graph.metadata["classes"]), list[Name])
        except Damaged as error:
            raise ModelError(f"{path}: the metadata 'classes' is no JSON list of names: {error}") from None
    if len(set(names)) != graph.outputs or len(names) != graph.outputs:
        raise ModelError(
            f"{path}: the metadata 'classes' has {len(names)} names, {len(set(names))} of them different, for "
            f"{graph.outputs} outputs"
        )
    values, nodata = own_values(names)
    colours = {value: class_colour(i) for i, value in enumerate(values)}
    return Meaning(title, Classes(tuple(names), values, nodata), colours, 1.0, quality)
