"""Every name of TensorRT and CUDA that we call is one that their real bindings have, with as many arguments.

names.json was made from the bindings themselves, see make_names.py.
"""

from __future__ import annotations

import ast
import json
import re
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path

import pytest
import standin_tensorrt

from tessera_engine.backends.gpu import cuda

NAMES = json.loads((Path(__file__).parent / "names.json").read_text())
VERSIONS = sorted(NAMES["tensorrt"])
SOURCE = Path(cuda.__file__).with_name("tensorrt_api.py")

CLASS_OF = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
    "_runtime": "Runtime",
}
"""What the variables and attributes of our module are."""

RESULTS = {("get_timing_cache", "serialize"): "ITimingCache", ("get_error", "desc"): "ParserError"}
"""Methods of what another call returned."""

C_TYPES = {
    "CUcontext": c_void_p, "CUcontext*": POINTER(c_void_p), "CUstream": c_void_p, "CUstream*": POINTER(c_void_p),
    "CUdeviceptr": c_uint64, "CUdeviceptr*": POINTER(c_uint64), "CUdevice": c_int, "CUdevice*": POINTER(c_int),
    "CUmodule": c_void_p, "CUmodule*": POINTER(c_void_p), "CUfunction": c_void_p, "CUfunction*": POINTER(c_void_p),
    "CUfunction_attribute": c_int, "const char*": c_char_p, "CUdevice_attribute": c_int, "CUresult": c_int, "int": c_int, "int*": POINTER(c_int), "unsigned int": c_uint,
    "size_t": c_size_t, "size_t*": POINTER(c_size_t), "char*": c_char_p, "const char**": POINTER(c_char_p),
    "void*": c_void_p, "const void*": c_void_p, "void**": POINTER(c_void_p),
}  # fmt: skip


def used():
    """(class, name, arguments or None where it isn't called), as our module uses them; class '' is the module."""
    tree = ast.parse(SOURCE.read_text())
    calls = {id(node.func): len(node.args) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        base, arguments = node.value, calls.get(id(node))
        name = getattr(base, "id", None) or getattr(base, "attr", None)
        if name == "trt":
            found.add(("", node.attr, arguments))
        elif isinstance(base, ast.Attribute) and getattr(base.value, "id", None) == "trt":
            found.add((base.attr, node.attr, arguments))
        elif isinstance(base, ast.Call):
            called = getattr(base.func, "attr", "")
            if (called, node.attr) in RESULTS:
                found.add((RESULTS[called, node.attr], node.attr, arguments))
        elif name in CLASS_OF:
            found.add((CLASS_OF[name], node.attr, arguments))
    return found


def test_what_is_used_is_found():
    """The test below says nothing about what this doesn't see."""
    found = {f"{owner}.{name}" for owner, name, _ in used()}
    text = SOURCE.read_text()
    for name in (
        "Builder.create_network",
        "IExecutionContext.execute_async_v3",
        "ITimingCache.serialize",
        ".Runtime",
    ):
        assert name in found
    for call in re.findall(r"\.((?:set|get|create|add|build|deserialize|execute|update|parse)_\w+)\(", text):
        assert any(name.endswith(f".{call}") for name in found), call


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_is_there(version):
    module = NAMES["tensorrt"][version]["classes"]
    for owner, name, arguments in used():
        if not owner:
            assert name in NAMES["tensorrt"][version]["module"] or name == "__version__", name
        elif owner != "__version__" and name != "__init__":
            assert name in module[owner], f"{owner}.{name} is not in TensorRT {version}"
            signatures = module[owner][name]
            if arguments is not None and signatures:
                assert any(takes(signature, arguments) for signature in signatures), (owner, name, signatures)


def takes(signature, arguments):
    inside = signature.split("(", 1)[1].rsplit(")", 1)[0]
    depth, parts = 0, [""]
    for letter in inside:
        depth += letter in "[(<"
        depth -= letter in "])>"
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    without_self = parts[1:]
    least = sum("=" not in part for part in without_self)
    return least <= arguments <= len(without_self)


def test_the_oldest_and_the_newest_are_in_the_table():
    assert VERSIONS[0].startswith("10.13")
    assert {version.split(".")[0] for version in VERSIONS} == {"10", "11"}
    assert "10.3.0" in VERSIONS


def test_the_feature_that_only_some_have_is_asked_for_by_its_name():
    (name,) = re.findall(r'^RESIZE = "(\w+)"', SOURCE.read_text(), re.MULTILINE)
    have = {version: name in NAMES["tensorrt"][version]["classes"]["PreviewFeature"] for version in VERSIONS}
    assert have == {"10.3.0": False, "10.13.3.9": True, "11.4.0.106": True}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_stand_in_has_no_names_of_its_own(version):
    for owner, names in NAMES["tensorrt"][version]["classes"].items():
        stand_in = getattr(standin_tensorrt, owner, None)
        if stand_in is None or owner in ("NetworkDefinitionCreationFlag", "PreviewFeature"):
            continue
        own = {name for name in vars(stand_in) if name[0] != "_"} - {"fails_with", "model"}
        assert own <= set(names), owner


@pytest.mark.parametrize("version", sorted(NAMES["cuda"]))
def test_functions_of_the_driver_are_declared_as_they_are(version):
    declared = NAMES["cuda"][version]["functions"]
    for name, arguments in cuda.FUNCTIONS.items():
        theirs = [C_TYPES[re.sub(r"\s*\w+$", "", each.strip())] for each in declared[name].split(",")]
        assert list(arguments) == theirs, name


def test_numbers_of_the_driver_are_its_own():
    (numbers,) = (each["numbers"] for each in NAMES["cuda"].values())
    assert numbers == {
        "CUDA_ERROR_OUT_OF_MEMORY": cuda.OUT_OF_MEMORY,
        "CU_STREAM_NON_BLOCKING": cuda.NON_BLOCKING,
        "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": cuda.CAPABILITY_MAJOR,
        "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": cuda.CAPABILITY_MINOR,
        "CU_DEVICE_ATTRIBUTE_INTEGRATED": cuda.INTEGRATED,
        "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES": cuda.MOST_DYNAMIC_SHARED,
    }
