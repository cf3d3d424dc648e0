"""Tables on stdout: values reach the terminal as they are."""

from __future__ import annotations

from tessera_engine.cli.console import print_table
from tessera_engine.errors import install_hint


def test_a_table_takes_no_value_for_markup_or_an_emoji(capsys):
    print_table([("file", "a[bold]b.tif"), ("name", ":warning: [/]")])
    shown = capsys.readouterr().out
    assert "a[bold]b.tif" in shown
    assert ":warning: [/]" in shown


def test_a_table_shows_the_extra_of_a_missing_package(capsys):
    # `doctor` prints such hints
    print_table([("openvino", f"missing: {install_hint('openvino')}")])
    assert "'.[openvino]'" in "".join(capsys.readouterr().out.split())
