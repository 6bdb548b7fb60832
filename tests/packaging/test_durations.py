"""A run of all tests records how long each took."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import durations as record
from tests.support.durations import PROCESSOR, SERVERS, Duration, Servers, durations, recorded, table


def report(
    test: str, when: str, wall: float, processor: float | None = None, servers: float = 0.0
) -> pytest.TestReport:
    return pytest.TestReport(
        test,
        (test, None, ""),
        {},
        "passed",
        None,
        when,  # type: ignore[arg-type]  # one of three words
        duration=wall,
        user_properties=() if processor is None else [(PROCESSOR, processor), (SERVERS, servers)],
    )


def test_the_most_expensive_come_first_and_each_folder_is_summed_up() -> None:
    reports = [
        report("tests/a/test_x.py::test_one", "setup", 1.0),
        report("tests/a/test_x.py::test_one", "call", 2.0),
        report("tests/a/test_x.py::test_one", "teardown", 0.5, 0.25),
        report("tests/a/test_x.py::test_two", "teardown", 1.0, 0.5),
        report("tests/b/test_y.py::test_three", "teardown", 0.0, 4.0, servers=2.0),
    ]
    assert [line.split() for line in table(durations(reports)).splitlines()[2:]] == [
        ["4.00", "0.00", "tests/b"],
        ["2.00", "0.00", *SERVERS.split()],
        ["0.75", "4.50", "tests/a"],
        [],
        ["4.00", "0.00", "tests/b/test_y.py::test_three"],
        ["2.00", "0.00", *SERVERS.split()],
        ["0.50", "1.00", "tests/a/test_x.py::test_two"],
        ["0.25", "3.50", "tests/a/test_x.py::test_one"],
    ]


def test_a_server_that_stops_hands_its_seconds_on_once() -> None:
    servers = Servers()
    with servers.stopping():
        sum(range(3_000_000))
    assert servers.taken() > 0
    assert servers.taken() == 0


def test_the_record_of_a_run_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "FILE", tmp_path / "record")
    assert recorded() == {}
    name = "tests/core/test_walk.py::test_all[a name, with words]"
    found = table({name: Duration(29.5, 35.0), "tests/core/test_walk.py::test_one": Duration(0.5, 1.0)})
    (tmp_path / "record").write_text(found, encoding="utf-8")
    assert recorded() == {"tests/core": 30.0, name: 29.5, "tests/core/test_walk.py::test_one": 0.5}
