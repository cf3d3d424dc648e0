"""Damaged chunks of Zarr arrays: an error, no crash, no gigabytes. Whatever is valid reads as before."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest

zarr = pytest.importorskip("zarr")

from cube_files import s2_variables, write_zarr  # noqa: E402
from made_up import made_up_arrays  # noqa: E402
from numcodecs import BZ2, LZ4, LZMA, Blosc, GZip, VLenBytes, VLenUTF8, Zlib, Zstd  # noqa: E402

from tessera_engine.errors import InputError  # noqa: E402
from tessera_engine.offline.chunks import decoded_chunks_of, guard_chunks, zstd_size  # noqa: E402
from tessera_engine.scene import Window  # noqa: E402
from tessera_engine.scenes import open_scene  # noqa: E402

VALUES = np.random.default_rng(0).integers(0, 300, (4, 16, 16)).astype("<u2")


@pytest.fixture(autouse=True)
def guarded():
    guard_chunks()


COMPRESSORS = {codec.codec_id: codec for codec in (Zlib(), GZip(), BZ2(), LZMA(), LZ4(), Zstd(), Blosc())}


@pytest.mark.parametrize("codec", COMPRESSORS.values(), ids=COMPRESSORS)
def test_every_compressor_decodes_as_before(codec):
    chunk = codec.encode(VALUES)
    for given in (chunk, bytes(chunk), np.frombuffer(chunk, "u1")):
        np.testing.assert_array_equal(np.frombuffer(codec.decode(given), "<u2"), VALUES.ravel())
        out = np.empty_like(VALUES)
        codec.decode(given, out)
        np.testing.assert_array_equal(out, VALUES)
    with pytest.raises((ValueError, RuntimeError, OSError, EOFError, zlib.error)):
        codec.decode(bytes(chunk)[:-9])


@pytest.mark.parametrize("codec", COMPRESSORS.values(), ids=COMPRESSORS)
def test_a_chunk_that_decodes_to_more_than_its_array_has_is_refused_within_memory(codec):
    most, many = 2**24, 2**26
    fits, beyond = (bytes(codec.encode(np.zeros(size, "u1"))) for size in (most + 1000, many))
    with decoded_chunks_of(1000):
        assert len(codec.decode(fits)) == most + 1000
        tracemalloc.start()
        with pytest.raises(ValueError, match="17 MB"):
            codec.decode(beyond)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < many
    assert len(codec.decode(beyond)) == many


def test_the_size_of_zstandard_is_known_whether_it_says_so_or_not():
    values = np.random.default_rng(0).integers(0, 9, 300_000).astype("u1").tobytes()
    frame = bytes(Zstd().encode(values))
    skipped = struct.pack("<II", 0x184D2A53, 5) + b"notes"
    assert zstd_size(memoryview(frame + skipped + frame)) == 2 * len(values)
    # The same blocks in a frame that has a window of 2**20 bytes instead of its length
    assert frame[4] >> 5 == 0b101
    streamed = memoryview(frame[:4] + bytes((frame[4] & 0x04, 10 << 3)) + frame[9:])
    assert Zstd().decode(streamed) == values
    assert len(values) <= zstd_size(streamed) <= len(values) + 2**17
    assert zstd_size(memoryview(b"no zstandard")) == zstd_size(memoryview(b"")) == 0
    for end in range(1, len(frame), 997):
        assert zstd_size(memoryview(frame)[:end]) <= len(values)


@pytest.mark.parametrize("options", [{}, {"cname": "zstd"}, {"shuffle": 0}, {"blocksize": 512}])
def test_valid_chunks_are_decoded_as_before(options):
    for codec, values in (
        (Blosc(**options), VALUES),
        (VLenUTF8(), np.array(["a", "", "é" * 9], object)),
        (VLenBytes(), np.array([b"a", b""], object)),
    ):
        for chunk in (
            codec.encode(values),
            bytes(codec.encode(values)),
            np.frombuffer(codec.encode(values), "u1"),
        ):
            found = codec.decode(chunk)
            expected = values.tobytes() if isinstance(codec, Blosc) else values
            np.testing.assert_array_equal(found, expected)


CRASHING = """
import sys
from random import Random
import numpy as np
from numcodecs import Blosc
from tessera_engine.offline.chunks import guard_chunks
guard_chunks()
chunk = bytes(Blosc().encode(np.arange(2000, dtype="<u2") % 301))
for seed in range(3000):
    rng = Random(seed)
    damaged = bytearray(chunk[: rng.choice((len(chunk), rng.randrange(len(chunk))))])
    for _ in range(rng.choice((0, 1, 5))):
        at = rng.randrange(max(1, min(24, len(damaged))))
        damaged[at : at + rng.randrange(2)] = rng.randbytes(rng.randrange(8))
    try:
        Blosc().decode(bytes(damaged))
    except Exception:
        pass
"""


def test_no_damaged_chunk_ends_the_process():
    done = subprocess.run(
        [sys.executable, "-c", CRASHING], env={"PYTHONPATH": ":".join(sys.path)}, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("codec", [VLenUTF8(), VLenBytes()])
def test_a_chunk_that_claims_many_texts_is_refused_at_once(codec):
    for size in (0, 3, 12):
        with pytest.raises(ValueError, match="corrupt buffer"):
            codec.decode(struct.pack("<I", 0x0FFFFFFF).ljust(size, b"\0")[:size])


def cube(folder, name, header, content):
    """A cube in which one array has other metadata and another chunk."""
    arrays = made_up_arrays(steps=2)
    store = write_zarr(folder / "scene" / "cube.zarr", s2_variables(arrays), arrays["doys"])
    path = store / name / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | header))
    chunk = next(each for each in (store / name).iterdir() if each.name[0] == "0")
    chunk.write_bytes(content(chunk.read_bytes()))
    return folder / "scene"


def test_a_damaged_blosc_chunk_of_a_cube_is_named(tmp_path):
    compressor = Blosc()
    config = {"compressor": compressor.get_config()}
    whole = cube(tmp_path / "whole", "x", config, compressor.encode)
    assert open_scene(whole).grid.width > 0
    damaged = cube(tmp_path / "damaged", "x", config, lambda values: bytes(compressor.encode(values))[:-9])
    with pytest.raises(InputError, match=r"cube.zarr.*x can't be read .*corrupt buffer"):
        open_scene(damaged)


def bomb(codec, size):
    """Zeros that take a thousandth of their size, made without holding them twice."""
    return bytes(codec.encode(np.zeros(size, "u1")))


@pytest.mark.parametrize("codec", [Zlib(), Zstd()], ids=["zlib", "zstd"])
@pytest.mark.parametrize("name", ["x", "B02"])
def test_a_small_chunk_of_a_cube_that_decodes_to_much_is_named(tmp_path, codec, name):
    config = {"compressor": codec.get_config()}
    scene = cube(tmp_path, name, config, lambda values: bomb(codec, 2**25))
    with pytest.raises(InputError, match=rf"cube.zarr.*{name} can't be read .*17 MB"):
        open_scene(scene).reader.read(Window(0, 0, 2, 2))


class Program:
    def __reduce__(self):
        return print, ("it ran",)


@pytest.mark.parametrize(
    "codecs",
    [
        {"filters": [{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 5}]},
        {"filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle", "protocol": 5}},
    ],
)
def test_pickled_values_of_a_cube_are_refused_by_name(tmp_path, capsys, codecs):
    header = {"dtype": "|O", "fill_value": "", **codecs}
    with pytest.raises(InputError, match=r"cube.zarr.* t .*pickle"):
        open_scene(cube(tmp_path, "t", header, lambda values: pickle.dumps(Program())))
    assert "it ran" not in capsys.readouterr().out
