"""Which worker gets which cell, and what a refused, failing, hanging or ended worker costs; with workers made up here."""

from __future__ import annotations

import itertools

import pytest

from tessera_engine.cluster import crew as crews
from tessera_engine.cluster import worker as works
from tessera_engine.cluster.crew import Crew, Task
from tessera_engine.cluster.order import Sealed
from tessera_engine.cluster.worker import DONE, FAILED, OF_INPUT, OF_MACHINE, READY, REFUSED
from tessera_engine.errors import TesseraError
from tessera_engine.scene import Window

CELLS = [Window(1024 * n, 0, 1024, 1024) for n in range(8)]
BITS, OTHER_BITS = "a" * 64, "b" * 64


class Future:
    def __init__(self, answer):
        self.status, self._answer = ("pending", None) if answer is None else ("finished", answer)

    def add_done_callback(self, call):
        if self.status != "pending":
            call(self)

    def result(self, timeout):
        if self._answer == "kept":
            raise TimeoutError
        return self._answer

    def cancel(self, **how):
        self.status = "cancelled"


class Client:
    """A cluster: `workers` are functions of a cell (None: the introduction) by address; an answer of None never comes.

    A worker that answers "gone" ends; one that answers "kept" has finished, and ends before its answer is fetched.
    """

    status = "running"

    def __init__(self, workers):
        self.workers, self.calls, self.restarted = dict(workers), [], []

    def scheduler_info(self, n_workers):
        return {"workers": {address: {"metrics": {}} for address in self.workers}}

    def submit(self, work, *given, workers, **how):
        (address,) = workers
        cell = None if work is works.introduce else Window(*given[1])
        self.calls.append((address, cell))
        answer = self.workers[address](cell)
        if answer in ("gone", "kept"):
            del self.workers[address]
            answer = None if answer == "gone" else answer
        return Future(answer)

    def restart_workers(self, addresses, **how):
        self.restarted += addresses


def worker(answer=None, bits=BITS, introduction=None):
    """A worker that finishes every cell, or gives `answer` (or what it gives for a cell)."""
    ready = {"kind": READY, "host": "pc", "computed": ("fused", "1", "avx2"), "probe": bits}

    def call(cell):
        if cell is None:
            return introduction or ready
        found = answer(cell) if callable(answer) else answer
        return {"kind": DONE, "pixels": cell.pixels, "seconds": 1.0} if found is None else found

    return call


@pytest.fixture
def crew(monkeypatch):
    """Make a crew of a cluster, with its lines in `said`."""
    monkeypatch.setattr(crews, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(crews, "WAIT_SECONDS", 0.001)

    def make(**workers):
        made = Crew(Client(workers), Sealed("t", "0", b""), lambda line: made.said.append(line))
        made.said = []
        return made

    return make


def results(crew, cells=CELLS, preferred=None):
    crew.gather(preferred)
    return {
        task.cell: answer
        for task, answer in crew.work([Task(works.embed_cell, c) for c in cells], lambda: None)
    }


def done_by(crew):
    return {cell: address for address, cell in crew.client.calls if cell is not None}


def test_every_cell_is_computed_once_by_all_workers(crew):
    made = crew(a=worker(), b=worker())
    assert {answer["kind"] for answer in results(made).values()} == {DONE}
    called = [cell for _, cell in made.client.calls if cell is not None]
    assert sorted(called) == CELLS
    assert set(done_by(made).values()) == {"a", "b"}


def test_a_refused_worker_gets_no_cell_and_is_named_with_the_reason(crew):
    refusal = {"kind": REFUSED, "reason": "it has tessera-engine 0.1"}
    made = crew(a=worker(introduction=refusal), b=worker())
    results(made)
    assert set(done_by(made).values()) == {"b"}
    assert [line for line in made.said if "a on" in line or (" a " in line and "0.1" in line)]


def test_without_a_worker_that_fits_the_run_ends_with_the_reason(crew):
    made = crew(a=worker(introduction={"kind": REFUSED, "reason": "another model"}))
    with pytest.raises(TesseraError, match="another model"):
        results(made)


@pytest.mark.parametrize(
    ("preferred", "used"), [(None, {"a", "b"}), (OTHER_BITS, {"c"}), ("f" * 64, {"a", "b"})]
)
def test_only_workers_with_the_same_bits_compute(crew, preferred, used):
    made = crew(a=worker(), b=worker(), c=worker(bits=OTHER_BITS))
    results(made, preferred=preferred)
    assert set(done_by(made).values()) == used


def test_a_worker_with_a_full_disk_costs_nothing_but_itself(crew):
    full = {"kind": FAILED, "fault": OF_MACHINE, "reason": "No space left on device"}
    made = crew(a=worker(full), b=worker())
    assert {answer["kind"] for answer in results(made).values()} == {DONE}
    assert len([cell for address, cell in made.client.calls if address == "a" and cell]) == 1
    assert any("No space left" in line for line in made.said)


def test_an_input_that_cannot_be_read_is_tried_on_two_workers(crew):
    bad = {"kind": FAILED, "fault": OF_INPUT, "reason": "B04.jp2 is damaged"}
    broken = lambda cell: bad if cell == CELLS[3] else None  # noqa: E731
    made = crew(a=worker(broken), b=worker(broken), c=worker(broken))
    found = results(made)
    assert found.pop(CELLS[3]) == bad
    assert {answer["kind"] for answer in found.values()} == {DONE}
    assert len({address for address, cell in made.client.calls if cell == CELLS[3]}) == 2
    assert len(made.ready) == 3


def test_a_worker_where_cells_fail_that_others_finish_gets_no_more(crew):
    bad = {"kind": FAILED, "fault": OF_INPUT, "reason": "the scene can't be read"}
    made = crew(a=worker(bad), b=worker())
    assert {answer["kind"] for answer in results(made).values()} == {DONE}
    assert 1 <= len([cell for address, cell in made.client.calls if address == "a" and cell]) <= 3
    assert [hand.address for hand in made.ready] == ["b"]


def test_the_cell_of_an_ended_worker_is_computed_by_another(crew):
    made = crew(a=worker(lambda cell: "gone"), b=worker())
    assert set(results(made)) == set(CELLS)
    assert sum("has ended" in line and "cell" in line for line in made.said) == 1


def test_the_answer_of_a_worker_that_ended_is_not_waited_for(crew):
    made = crew(a=worker(lambda cell: "kept"), b=worker())
    assert {answer["kind"] for answer in results(made).values()} == {DONE}
    assert done_by(made) == dict.fromkeys(CELLS, "b")


def test_a_worker_that_ends_without_a_cell_costs_none(crew):
    made = crew(b=worker())
    made.client.workers["a"] = lambda cell: "gone"
    assert set(results(made)) == set(CELLS)
    (line,) = (line for line in made.said if "has ended" in line)
    assert "cell" not in line


def test_a_cluster_of_this_machine_whose_workers_do_not_start_ends_the_run(crew, monkeypatch):
    monkeypatch.setattr(crews, "START_SECONDS", 0.05)
    monkeypatch.setattr(crews, "is_local", lambda client: True)
    with pytest.raises(TesseraError, match="started"):
        crew().gather(None)


def test_a_cell_that_ends_every_worker_is_given_up(crew):
    deadly = lambda cell: "gone" if cell == CELLS[0] else None  # noqa: E731
    made = crew(**{f"w{n}": worker(deadly) for n in range(8)})
    found = results(made)
    assert found[CELLS[0]]["kind"] == FAILED
    assert str(crews.DEATHS) in found[CELLS[0]]["reason"]
    assert {found[cell]["kind"] for cell in CELLS[1:]} == {DONE}
    assert len(made.client.workers) == 8 - crews.DEATHS


def test_a_cell_whose_worker_ended_comes_after_the_others(crew):
    """So that two workers that end all the time don't end five times with the same cell."""
    fresh, ended = itertools.count(), []
    made = crew()

    def dying(cell):
        if len(ended) >= crews.DEATHS:
            return None
        ended.append(cell)
        made.client.workers[f"new{next(fresh)}"] = worker(dying)
        return "gone"

    made.client.workers["a"] = worker(dying)
    assert {answer["kind"] for answer in results(made).values()} == {DONE}
    assert ended == CELLS[: crews.DEATHS]


def test_workers_that_end_at_random_cost_no_cell(crew):
    """More deaths than a cell may have, but spread over all of them."""
    ends, fresh = itertools.cycle([True, True, True, False]), itertools.count()
    made = crew()

    def dying(cell):
        if not next(ends):
            return None
        made.client.workers[f"new{next(fresh)}"] = worker(dying)
        return "gone"

    made.client.workers.update(a=worker(dying), b=worker(dying))
    assert {answer["kind"] for answer in results(made).values()} == {DONE}
    assert made._deaths >= 3 * len(CELLS) - 3


def test_a_worker_that_computes_nothing_is_ended(crew, monkeypatch):
    monkeypatch.setattr(crews, "FIRST_SILENCE", 0.05)
    asleep = worker()
    made = crew(a=lambda cell: asleep(cell) if cell is None else None, b=worker())
    assert set(results(made)) == set(CELLS)
    assert made.client.restarted == ["a"]
    assert [hand.address for hand in made.ready] == ["b"]


def test_a_process_that_began_again_under_its_address_is_introduced_again(crew):
    answers = iter([{"kind": works.UNKNOWN}])
    made = crew(a=worker(lambda cell: next(answers, None)))
    assert {answer["kind"] for answer in results(made).values()} == {DONE}
    assert sum(cell is None for _, cell in made.client.calls) == 2


def test_a_scheduler_that_has_gone_ends_the_run(crew):
    made = crew(a=worker())
    made.gather(None)
    made.client.status = "closed"
    with pytest.raises(TesseraError, match="scheduler"):
        list(made.work([Task(works.embed_cell, CELLS[0])], lambda: None))
