"""Makes names.json, the names that NVIDIA's bindings really have: `python make_names.py WHEEL ... > names.json`.

Wheels are what `pip download --no-deps` gives of tensorrt_cu12_bindings and tensorrt_cu13_bindings for this Python, and of
cuda-bindings; of the latter only the functions that we call are kept. TensorRT's bindings are one extension module, which wants libraries of gigabytes and a driver; to be
imported it only wants that their few exported functions exist. So each gets empty libraries with those, made by the C
compiler, and is asked for its classes and signatures in a process of its own. Nothing else of it is run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tessera_engine.backends.gpu.cuda import FUNCTIONS

NUMBERS = (
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CU_STREAM_NON_BLOCKING",
    "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR",
    "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR",
    "CU_DEVICE_ATTRIBUTE_INTEGRATED",
    "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES",
)

CLASSES = (
    "Builder",
    "ExecutionContextAllocationStrategy",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "ITimingCache",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
    "PreviewFeature",
    "Runtime",
)

LOOK = f"""
import json, tensorrt_bindings as trt
def signatures(value):
    lines = (value.__doc__ or "").splitlines()
    return [line.split(" -> ")[0].replace("tensorrt_bindings.tensorrt.", "") for line in lines if "(self: " in line]
print(json.dumps({{"version": trt.__version__, "module": sorted(n for n in dir(trt) if n in {CLASSES!r}), "classes": {{
    name: {{n: signatures(getattr(getattr(trt, name), n)) for n in dir(getattr(trt, name)) if n[0] != "_"}}
    for name in {CLASSES!r}
}}}}))
"""


def tensorrt_names(wheel: Path) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder)
        (module,) = Path(folder).rglob("tensorrt.so")
        needed = subprocess.check_output(["readelf", "-d", module], text=True)
        symbols = subprocess.check_output(["nm", "-D", "--undefined-only", module], text=True).split()
        wanted = [
            name
            for name in symbols
            if re.match(r"(create|get|init)\w*(INTERNAL|Infer|Nv|PluginRegistry)", name)
        ]
        source = Path(folder) / "empty.c"
        source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in set(wanted)))
        for library in re.findall(r"\[(libnv\S+)\]", needed):
            subprocess.check_call(
                ["cc", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", f"{folder}/{library}", source]
            )
        found = subprocess.check_output(
            [sys.executable, "-c", LOOK], env={"LD_LIBRARY_PATH": folder, "PYTHONPATH": folder}
        )
    return json.loads(found)


def cuda_names(wheel: Path) -> dict:
    text = zipfile.ZipFile(wheel).read("cuda/bindings/cydriver.pxd").decode()
    declared = dict(re.findall(r"cdef CUresult (cu\w+)\(([^)]*)\)", text))
    numbers = dict(re.findall(r"(CU\w+) = (\d+)", text))
    names = zipfile.ZipFile(wheel).namelist()
    library = b"".join(
        zipfile.ZipFile(wheel).read(name) for name in names if "driver" in name and ".so" in name
    )
    exported = {name.decode() for name in re.findall(rb"cu[A-Z]\w+", library)}
    return {
        "functions": {name: declared[name.removesuffix("_v2")] for name in FUNCTIONS if name in exported},
        "numbers": {name: int(numbers[name]) for name in NUMBERS},
    }


def main() -> None:
    names: dict = {"made_from": [], "tensorrt": {}, "cuda": {}}
    for wheel in map(Path, sys.argv[1:]):
        names["made_from"].append(wheel.name)
        if wheel.name.startswith("tensorrt"):
            found = tensorrt_names(wheel)
            names["tensorrt"][found.pop("version")] = found
        else:
            names["cuda"][wheel.name.split("-")[1]] = cuda_names(wheel)
    json.dump(names, sys.stdout, indent=1, sort_keys=True)


if __name__ == "__main__":
    main()
