"""Writes the plugin as the archive that QGIS installs: `python qgis/build.py FOLDER`.

The same sources give the same bytes.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLUGIN = HERE / "tessera_qgis"
LICENCE = HERE.parent / "LICENSE"

KINDS = (".py", ".txt", ".svg")
FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold."""


def build(folder: Path) -> Path:
    """Write the archive.

    Args:
        folder: where it is put; made if it isn't there. An archive of the same version is replaced.

    Returns:
        The archive.
    """
    found = re.search(r"^version=(.+)$", (PLUGIN / "metadata.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    files = [path for path in sorted(PLUGIN.rglob("*")) if path.suffix in KINDS]
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"tessera-engine-qgis-{found[1]}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in [*files, LICENCE]:
            name = f"{PLUGIN.name}/{path.name if path == LICENCE else path.relative_to(PLUGIN).as_posix()}"
            entry = zipfile.ZipInfo(name, FIRST_DAY)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            target.writestr(entry, path.read_bytes().replace(b"\r\n", b"\n"))
    return archive


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
