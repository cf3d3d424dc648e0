"""Runs the soak's writing commands under Windows' rules for open files, and compares what they write with Linux's.

    python tests/emulate/windows.py FOLDER [PART]      FOLDER is made; only cases whose name begins with PART

For Linux. Prints what differs or fails; exit code 1 if anything did.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parents[1])]

from soak.cases import HOME, Case, cases, make_inputs  # noqa: E402
from windows_rules import windows_rules  # noqa: E402

from tessera_engine.files.checksums import file_sha256  # noqa: E402

ALIKE = {"item.json", "report.html", "report.md", "report.json", "data.js"}
"""Files with times, or with the output's path."""


def run(case: Case, made: Path, place: Path) -> tuple[object, str, dict[str, str]]:
    """Run a command in a folder of its own; gives its exit code, messages, and what it left there."""
    from tessera_engine import cli

    place.mkdir(parents=True)
    os.chdir(place)
    os.environ[HOME] = str(place / "home")
    if case.old:
        old, out = made / case.old, place / case.out
        out.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if old.is_dir() else shutil.copy)(old, out)
    said = io.StringIO()
    sys.argv = ["tessera-engine", *case.line(made)]
    code: object = 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    paths = sorted(path for path in place.rglob("*") if path.is_file())
    files = {str(path.relative_to(place)): "" if path.name in ALIKE else file_sha256(path) for path in paths}
    return code, said.getvalue(), files


def main() -> int:
    """Run all cases twice."""
    folder, part = Path(sys.argv[1]).absolute(), "".join(sys.argv[2:3])
    make_inputs(folder / "made")
    failed = 0
    for number, case in enumerate(case for case in cases() if case.name.startswith(part)):
        expected = run(case, folder / "made", folder / f"{number}" / "linux")
        with windows_rules():
            found = run(case, folder / "made", folder / f"{number}" / "windows")
        if found[0] != 0 or found[2] != expected[2]:
            failed += 1
            differ = [
                name for name in {*found[2], *expected[2]} if found[2].get(name) != expected[2].get(name)
            ]
            print(f"{case.name}: exit {found[0]}; {found[1][-300:]}; differs: {differ[:5]}")
    print(f"{failed} of {number + 1} commands failed under Windows' rules")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
