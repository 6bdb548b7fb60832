"""DBOS: a workflow of three steps. `python dbos_peer.py DSN IN_FLIGHT SECONDS` prints workflows a second.

Plain functions, each workflow in a thread that waits for it: what is asynchronous in DBOS goes through more threads yet,
and takes more of the processor. Its pool keeps its 20 connections; neither 10 nor 50 were faster.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS

TEXT = "x" * 200
dsn, in_flight, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
DBOS(config={"name": "bench", "system_database_url": dsn, "log_level": "ERROR"})


@DBOS.step()
def work(text: str) -> str:
    return text


@DBOS.workflow()
def three(text: str) -> str:
    for _ in range(3):
        text = work(text)
    return text


def one_after_another(until: float) -> int:
    done = 0
    while time.perf_counter() < until:
        three(TEXT)
        done += 1
    return done


DBOS.launch()
with ThreadPoolExecutor(in_flight) as threads:
    list(threads.map(one_after_another, [time.perf_counter() + 1] * in_flight))
    begun = time.perf_counter()
    done = sum(threads.map(one_after_another, [begun + seconds] * in_flight))
    print(done / (time.perf_counter() - begun), flush=True)
DBOS.destroy()
