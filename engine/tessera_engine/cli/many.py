"""What `embed` does with several scenes: progress of each, a table of all, one exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera_engine.cli import console
from tessera_engine.cli.signals import aside, interruptible
from tessera_engine.cli.wording import in_options
from tessera_engine.errors import InputError, TesseraError

if TYPE_CHECKING:
    from tessera_engine.jobs.many import JobResult

ADVICE = "give the same command again: finished scenes are skipped, and the interrupted one is resumed"


def embed_all(
    jobs: Path | None,
    scenes: Sequence[str],
    out: Path | None,
    defaults: Mapping[str, Any],
    quiet: bool,
    json: bool,
    cluster: str | None = None,
) -> None:
    """Embed the scenes of a table, or several scenes; on a Dask cluster, if one is named.

    Raises:
        InputError: the table is wrong; nothing has been done.
        TesseraError: scenes failed.
    """
    from tessera_engine.cluster.connecting import connected
    from tessera_engine.jobs.many import FAILED, embed_many

    if jobs is not None and scenes:
        raise InputError(f"jobs={jobs} names the scenes already; leave out {', '.join(map(str, scenes[:3]))}")
    whole = " ".join(scenes)
    if len(scenes) > 1 and Path(whole).is_dir() and not any(Path(each).exists() for each in scenes):
        raise InputError(f"'{whole}' is one folder; write its name in quotes")
    given = {name: value for name, value in defaults.items() if value is not None}
    progress = console.progress_for(quiet, json)

    def announce(line: str) -> None:
        # As for one scene: what is certain, and errors, are said even so
        console.say(line, quiet and (line.startswith(("note: ", "[", "resuming ")) or ", likely]" in line))

    def work() -> list[JobResult]:
        named = list(scenes) if jobs is None else jobs
        if cluster is None:
            return embed_many(named, out, progress=progress, announce=announce, **given)
        with connected(cluster, given.get("threads")) as client:
            return embed_many(named, out, progress=progress, announce=announce, client=client, **given)

    with interruptible(ADVICE, published=ADVICE):
        results = aside(work)
    results = [replace(result, error=in_options(result.error)) for result in results]
    failed = [result for result in results if result.state == FAILED]
    if json:
        console.print_json(
            {
                "scenes": [result.to_dict() for result in results],
                **{state.replace(" ", "_"): count for state, count in _counts(results).items()},
            }
        )
    else:
        rows = [(each.scene, each.state, *_numbers(each), each.error or str(each.out)) for each in results]
        console.print_table(rows, ("scene", "state", "px", "with data", "seconds", "output"))
    summary = ", ".join(f"{count} {state}" for state, count in _counts(results).items())
    if failed:
        raise TesseraError(
            f"{summary}; the first that failed is {failed[0].scene}; give the same command again to try these again"
        )
    console.say(f"{len(results)} scenes: {summary}", quiet)


def _counts(results: Sequence[JobResult]) -> dict[str, int]:
    from tessera_engine.jobs.many import DONE, FAILED, SKIPPED

    return {state: sum(each.state == state for each in results) for state in (DONE, SKIPPED, FAILED)}


def _numbers(result: JobResult) -> tuple[str, ...]:
    if not result.pixels:
        return "", "", ""
    return f"{result.pixels:,}", f"{result.with_data:,}", f"{result.seconds:.1f}"
