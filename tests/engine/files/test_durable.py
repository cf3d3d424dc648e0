"""Locks: one holder at a time, and none that is dead."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tessera_engine.errors import InputError
from tessera_engine.files.durable import Lock


def test_a_second_holder_is_told_who_the_first_is(tmp_path):
    lock = Lock(tmp_path / "run" / "lock")
    with pytest.raises(InputError, match=f"another run .process {os.getpid()}. is writing"):
        Lock(tmp_path / "run" / "lock")
    lock.release(remove=False)
    Lock(tmp_path / "run" / "lock").release(remove=True)
    assert list((tmp_path / "run").iterdir()) == []


def test_a_dead_process_holds_nothing(tmp_path):
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tessera_engine.files.durable import Lock\n"
        "lock = Lock(Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program, tmp_path / "lock"], env=environment)
    assert ended.returncode == -9
    assert (tmp_path / "lock").read_text().strip().isdigit()
    Lock(tmp_path / "lock").release(remove=True)


def test_a_lock_that_was_removed_while_it_was_waited_for_is_not_held(tmp_path, monkeypatch):
    """Its old holder removes the file after a new one has opened it: the new one has to take the file that is there."""
    from tessera_engine.files import durable

    first = Lock(tmp_path / "lock")
    honest = durable._lock

    def late(descriptor):
        monkeypatch.setattr(durable, "_lock", honest)
        first.release(remove=True)
        return honest(descriptor)

    monkeypatch.setattr(durable, "_lock", late)
    Lock(tmp_path / "lock")
    with pytest.raises(InputError, match="another run"):
        Lock(tmp_path / "lock")
