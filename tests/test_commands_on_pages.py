"""Every command on the pages is typed, on small inputs of the names that it gives, or is listed with the reason why not."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from page_inputs import Inputs
from places import FLANDERS, ROOT
from test_documentation import NEEDS_INPUTS, PAGES, PROGRAM, python_blocks, run_python

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)

OTHER_LANGUAGES = {
    "python": "run by test_documentation.py",
    "py": "asks for packages that are not among the tests': see NOT_TYPED",
    "csv": "a file",
    "r": "run by test_r.py",
}
"""Languages of fenced blocks that hold no commands. Blocks without a language, and `sh`, do."""

NOT_TYPED = {
    "slurm.md": {r".*": "a script of several lines: test_job_scripts_run"},
    "scenes.md": {r"ls ": "shows what is there"},
    "tutorial.md": {r".*": "test_tutorial.py types the whole page"},
    "install.md": {r".*": "installs: make wheel, tests/engine/kit"},
    "qgis.md": {r"qgis_process": "needs QGIS: tests/qgis"},
    "jetson.md": {r".*": "for a Jetson"},
    "cluster.md": {r".*": "needs other machines; tests/engine/cluster runs workers on this one"},
    "gpu.md": {
        r"make |python benchmarks": "needs a GPU",
        r".*--device cuda": "needs a GPU",
    },
    "gpu-files.md": {r".*--calibrate flanders-2018": "takes minutes; tests/export/gpu_files"},
    "kit.md": {
        r"make ": "asks an index of packages; the same by tests/engine/kit",
        r".*kit /media": "asks an index of packages; the same by tests/engine/kit",
        r"sh install|VENV_DIR|\. \.\.": "installs: tests/engine/kit, the slow test",
        r".*--verify": "tests/engine/kit checks kits",
    },
    "CONTRIBUTING.md": {r"make ": "makes the environment in which the tests run"},
    "README.md": {
        r"ls |head ": "shows what is there",
        r"python3 -m venv|pip install|\.venv|py -m|env": "installs: make wheel",
        r".*tessera-engine view": "serves until Ctrl-C: tests/engine/cli/test_view.py",
        r".*model fetch": "needs a network: tests/engine/model",
        r".*tessera-engine kit": "asks an index of packages: tests/engine/kit",
        r".*tessera-engine (train|distil|bench)": "takes minutes: tests/export, tests/engine/cli/test_bench.py",
    },
    "training.md": {r".*tessera-engine train": "takes minutes: tests/export/test_train.py"},
    "places.md": {r"head ": "shows what is there"},
    "models.md": {r".*model fetch": "needs a network: tests/engine/model"},
    "view.md": {r"tessera-engine view (?!.*--export)": "serves until Ctrl-C: tests/engine/cli/test_view.py"},
    "geotessera.md": {r".*tessera-engine view": "serves until Ctrl-C: tests/engine/cli/test_view.py"},
    "maps.md": {r"QT_QPA_PLATFORM|from qgis|app = |print\(": "needs QGIS: tests/clients/qgis_client.py"},
    "int8.md": {r"python -m tessera_export.train.qat": "takes minutes: tests/export/test_qat.py"},
    "regressions.md": {r"pytest |tessera-engine bench|python - |import json|rows = |assert rows|EOF": "takes minutes: benchmarks"},
}  # fmt: skip
"""Page -> pattern of lines -> why the line isn't typed here, and what tests it."""


KNOWN = (PROGRAM, "python", "gdal_translate")
"""What the lines that are typed here begin with."""

CHANGED = {
    r"--model (nano|medium|v1_1)\b": "--model demo",  # published models and what is imported are not here
    r"verify nano": "verify demo",
    r"embed 2024/ (.*--append)": r"embed 2025/ \1",  # the store here has 2024 already
    r"pack medium": "pack demo",
    r"/media/stick/": "",
    r"--at 4\.93 50\.80": "--at 4.9265 50.8035",  # inside of a small scene
    r"--size \d+": "--size 16",
    r"--year 2024 --season": "--year 2024 --dim 16 --season",
    r"--season 2023-11(-15)?:2024-06(-30)?": "--year 2024 --season 2024-02:2024-06",  # tiles have one year
    r"--from 2023-11-15": "--year 2024 --from 2024-02-15",
    r"--per-class 50": "--per-class 5",
    r"--reference points\.gpkg -o 2023\.2024\.checked": "--reference transitions.gpkg -o 2023.2024.checked",
    r"\.\./(first)": r"\1",
    r"map first --labels": "map scene_dir.embeddings --labels",
    r"view first --export": "view scene_dir.embeddings --export",
    r"--each \d+": "--each 5",
}
"""Pattern in a line -> what is typed in its place: inputs here are small, and only the demo model is here."""

FAILS = {
    r"verify scene_dir\.embeddings +# after one bit": 0,  # nothing was flipped here
    r"picture neighbour\.embeddings --palette land\.json --quicklook clusters": 2,
    r"tessera-engine docs": None,  # 1 where `make docs` hasn't run
}
"""Pattern of a line -> its exit code where that isn't 0; None: any."""


def lines_of(page: Path) -> list[str]:
    """The command lines of a page: each line of a block without prompts, or those behind a prompt."""
    found = []
    for _, language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in OTHER_LANGUAGES:
            continue
        assert language in ("", "sh"), f"{page.name} has a block of {language}: {block[:80]}"
        joined = block.replace("\\\n", " ").splitlines()
        prompted = [line.removeprefix("$ ") for line in joined if line.startswith("$ ")]
        found += prompted or [line for line in joined if line.strip() and not line.lstrip().startswith("#")]
    return found


CASES = [(page, line) for page in PAGES for line in lines_of(page)]


def why_not(page: Path, line: str) -> str | None:
    """Why a line isn't typed here; None: it is."""
    if "flanders" in line and not FLANDERS.is_dir():
        return "the scene of Flanders is not beside the checkout"
    for pattern, reason in NOT_TYPED.get(page.name, {}).items():
        if re.match(pattern, line):
            return reason
    return None


def first_part(word: str) -> str:
    """The name of the input in the current folder that a word names or lies in."""
    return word.removeprefix("./").split("/")[0]


def lay_out(inputs: Inputs, words: list[str], folder: Path) -> None:
    """Put copies of the inputs that the words name into a folder. What follows -o and its like is written, not read."""
    if "jobs.csv" in words:
        words = [*words, "north", "south"]
    words = [*words, *(name for word in words for name in re.findall(r"'([\w.]+)'", word))]
    for before, word in zip(["", *words], words, strict=False):
        name = first_part(word)
        written = before in ("-o", "--out", "--export", "--save", "simulate") and "--append" not in words
        if written or (folder / name).exists() or word.startswith("-"):
            continue
        path = inputs.get(name)
        if path is None:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, folder / name, symlinks=True)
        else:
            shutil.copy(path, folder / name, follow_symlinks=False)


def typed(line: str) -> tuple[list[str], str | None]:
    """The words of a line with what is changed here, and the file that its output goes into."""
    for pattern, other in CHANGED.items():
        line = re.sub(pattern, other, line)
    into = re.search(r" > ([\w.]+)$", line)
    if into is not None:
        line = line[: into.start()]
    return shlex.split(line, comments=True), into and into[1]


def test_every_line_is_known():
    """A line is a command of this program, or a script's, or there is a reason why it isn't typed."""
    for page, line in CASES:
        if why_not(page, line) is None:
            assert typed(line)[0][0] in KNOWN, f"{page.name}: {line}"


def test_every_reason_is_needed():
    for name, reasons in NOT_TYPED.items():
        lines = [line for page, line in CASES if page.name == name]
        for pattern in reasons:
            assert any(re.match(pattern, line) for line in lines), f"{name}: {pattern}"
    texts = [line for _, line in CASES]
    for pattern, other in CHANGED.items():
        changed = [re.sub(pattern, other, line) for line in texts]
        assert changed != texts, pattern
        texts = changed
    for pattern in FAILS:
        assert any(re.search(pattern, line) for _, line in CASES), pattern


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_hides_in_indented_text(page):
    """Only fenced blocks are read by these tests; indented ones are for formulas and messages."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    hidden = re.findall(
        r"^    (?:\$ |tessera-engine |import |from |python |\w+\.\w+\().*", prose, re.MULTILINE
    )
    assert hidden == []


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    pytest.importorskip("geopandas")
    return Inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "line"),
    [
        pytest.param(page, line, id=f"{page.name}: {line[:70]}")
        for page, line in CASES
        if why_not(page, line) is None
    ],
)
def test_what_the_pages_type_works(page, line, inputs, run, tmp_path, monkeypatch):
    monkeypatch.setenv("TESSERA_ENGINE_HOME", str(tmp_path / "home"))
    words, into = typed(line)
    lay_out(inputs, words, tmp_path)
    if words[0] == PROGRAM:
        code, out, err = run(*words[1:])
    else:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        words[0] = sys.executable if words[0] == "python" else words[0]
        if shutil.which(words[0]) is None:
            pytest.skip(f"there is no {words[0]}")
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        code, out, err = done.returncode, done.stdout, done.stderr
    if into:
        (tmp_path / into).write_text(out)
    wanted = next((each for pattern, each in FAILS.items() if re.search(pattern, line)), 0)
    assert wanted is None or code == wanted, f"{shlex.join(words)}: {err}"


@pytest.mark.slow
@pytest.mark.parametrize("page", NEEDS_INPUTS)
def test_python_on_pages_that_name_outputs_runs(page, inputs, tmp_path):
    path = ROOT / "docs" / page
    for block in python_blocks(path):
        lay_out(inputs, re.findall(r"\"([\w./-]+)\"", block), tmp_path)
    run_python(path, tmp_path)


SLURM = {"SLURM_CPUS_PER_TASK": "1", "SLURM_ARRAY_TASK_ID": "2"}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="for Linux")
def test_job_scripts_run(inputs, tmp_path):
    """With srun and the environment replaced; the second script takes the second scene of its list."""
    page = ROOT / "docs" / "slurm.md"
    lay_out(inputs, ["scene_dir", "north", "south"], tmp_path)
    (tmp_path / "scenes.txt").write_text("north\nsouth\n")
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "activate").write_text(
        f'srun() {{ shift; {shlex.quote(sys.executable)} -m tessera_engine "$@" --quiet; }}\n'
    )
    environment = os.environ | SLURM | {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    scripts = [block for _, language, block in FENCE.findall(page.read_text()) if language == "sh"]
    for script in scripts:
        assert script.startswith("#!/bin/bash\n#SBATCH ")
        done = subprocess.run(
            ["bash", "-eu"],
            input=script,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    made = [path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("**/item.json")]
    assert sorted(made) == ["embeddings/south/item.json", "scene_dir.embeddings/item.json"]


def test_the_table_of_sizes_is_what_the_script_prints_and_simulate_writes(tmp_path):
    import data_sizes
    import numpy as np

    from tessera_engine.simulate import simulate

    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert data_sizes.table() in page
    assert f"{data_sizes.gigabytes('d-pixel tile', 600):.1f} GB" in page
    simulate(tmp_path / "farm", 16)
    arrays = {path.stem: np.load(path) for path in (tmp_path / "farm").glob("*.npy")}
    s1 = [len(arrays[f"sar_{orbit}"]) for orbit in ("ascending", "descending")]
    assert f"{len(arrays['bands'])} + {sum(s1)} dates" in page
    taken = sum(array.nbytes for name, array in arrays.items() if "doy" not in name)
    assert taken / 16**2 == data_sizes.gigabytes(
        "d-pixel tile", 1e9 / data_sizes.PIXELS, len(arrays["bands"]), sum(s1)
    )
