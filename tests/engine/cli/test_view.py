"""The command `view`: an address on stdout, a server until a signal, and mistakes in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from outputs import made_up_output
from page_client import Client
from places import ROOT
from staged import landscape

pytest.importorskip("uvicorn")


@pytest.fixture
def output(tmp_path):
    return made_up_output(tmp_path / "a.embeddings", landscape(60, 70), year=2023)


@pytest.fixture
def start(tmp_path):
    """Start the command in a process of its own; gives it and its first line."""
    processes = []

    def begin(*words):
        paths = os.pathsep.join(str(ROOT / name) for name in ("engine", "export", "kernels"))
        environment = {
            **os.environ,
            "PYTHONPATH": paths,
            "TESSERA_ENGINE_HOME": str(tmp_path / "home"),
            "DISPLAY": "",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "tessera_engine", "view", *map(str, words)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path,
        )  # fmt: skip
        processes.append(process)
        return process, process.stdout.readline().strip()

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to a whole console")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_serves_until_a_signal(start, output, number, code):
    process, address = start(output, "--no-browser")
    client = Client(address).enter()
    with client.listen():  # an open page doesn't hold it up
        assert client.get("/api/info")["outputs"][0]["name"] == "a.embeddings"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == ""
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1


def test_the_token_is_printed_once_and_nothing_else(start, output):
    process, address = start(output, "--no-browser", "--quiet")
    assert address.startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (out, err) == ("", "")


def test_two_years_of_one_store(start, tmp_path):
    pytest.importorskip("zarr")
    import tessera_engine as te

    for year in (2023, 2024):
        made = made_up_output(tmp_path / str(year), landscape(60, 70, 16, seed=year), year=year)
        te.convert(made, tmp_path / "store", "zarr", year=year, append=year == 2024, progress=False)
    for words in (
        ["store", "--year", "2023", "--year", "2024"],
        ["store", "store", "--year", "2023", "--year", "2024"],
    ):
        process, address = start(*words, "--no-browser")
        info = Client(address).enter().get("/api/info")
        assert [each["year"] for each in info["outputs"]] == [2023, 2024]
        assert info["same_grid"]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nowhere"], "nowhere"),
        (["a.embeddings", "a.embeddings"], "twice"),
        (["a.embeddings", "a.embeddings", "a.embeddings"], "3 outputs"),
        (["a.embeddings", "--year", "1999"], "1999"),
        (["a.embeddings", "--year", "2023", "--year", "2023"], "twice"),
        (["a.embeddings", "--year", "1", "--year", "2", "--year", "3"], "3 times"),
        (["a.embeddings", "--host", "0.0.0.0"], "--host"),
        (["a.embeddings", "--port", "80"], "--port"),
        (["a.embeddings", "--overwrite"], "--export"),
        (["a.embeddings/embeddings.tif"], "part of an output"),
        ([], "OUTPUT"),
    ],
)
def test_mistakes(run, output, words, named):
    code, out, err = run("view", *words)
    assert code == 2
    assert out == ""
    assert named in err
    assert "Traceback" not in err
