"""Running a yardstick: its seeds side by side, a process of one thread each, and the record of what they gave."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import gatewise
from gatewise.compare.processes import interrupts_held, process_context, start_process
from gatewise.errors import GatewiseError
from gatewise.records import (
    Machine,
    YardstickCriterion,
    YardstickRecord,
    YardstickRun,
    machine_facts,
    usable_cores,
    write_yardstick,
)
from gatewise.yardsticks.yardstick import LEAST_SEEDS, Yardstick, is_reproduced


def measure(
    yardstick: Yardstick,
    is_quick: bool,
    folder: Path,
    command: str,
    jobs: int | None = None,
    on_run: Callable[[YardstickRun], None] = lambda run: None,
) -> YardstickRecord:
    """Run every seed, judge, and keep the record up to date in `folder` after each.

    Parameters
    ----------
    yardstick : Yardstick
    is_quick : bool
        The smoke test: smaller, and not judged.
    folder : Path
        Where ``yardstick.json`` is written.
    command : str
        What the user typed, for the record.
    jobs : int, optional
        Seeds that run at the same time; as many as there are cores if left out. The numbers do not depend on it.
    on_run : callable
        Told of every seed that is done.

    Returns
    -------
    YardstickRecord
        Complete, its runs in the order of the seeds.
    """
    seeds = yardstick.quick_seeds if is_quick else yardstick.seeds
    num_jobs = min(jobs or usable_cores(), len(seeds))
    machine = machine_facts(num_jobs, threads_per_run=1)
    created = datetime.now(UTC).isoformat(timespec="seconds")

    def record(runs: Sequence[YardstickRun], status: Literal["running", "complete"]) -> YardstickRecord:
        return _record(yardstick, is_quick, seeds, runs, status, created, command, machine)

    runs: list[YardstickRun] = []
    write_yardstick(folder, record(runs, "running"))
    executor = ProcessPoolExecutor(num_jobs, process_context(), start_process)
    try:
        with interrupts_held():
            futures = [executor.submit(run_seed, yardstick, seed, is_quick) for seed in seeds]
        for future in as_completed(futures):
            runs.append(future.result())
            on_run(runs[-1])
            write_yardstick(folder, record(runs, "running"))
    except BrokenProcessPool as error:
        raise GatewiseError(f"a process of {yardstick.name} died (out of memory?); try --jobs 1") from error
    except BaseException:
        for process in multiprocessing.active_children():  # a seed takes minutes and hears nothing meanwhile
            process.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    complete = record(runs, "complete")
    write_yardstick(folder, complete)
    return complete


def run_seed(yardstick: Yardstick, seed: int, is_quick: bool) -> YardstickRun:
    """Run one seed in this process."""
    started = time.perf_counter()
    numbers = yardstick.run(seed, is_quick)
    return YardstickRun(seed=seed, seconds=time.perf_counter() - started, numbers=numbers)


def _record(
    yardstick: Yardstick,
    is_quick: bool,
    seeds: Sequence[int],
    runs: Sequence[YardstickRun],
    status: Literal["running", "complete"],
    created: str,
    command: str,
    machine: Machine,
) -> YardstickRecord:
    ordered = sorted(runs, key=lambda run: run.seed)
    may_judge = status == "complete" and not is_quick and len(runs) >= LEAST_SEEDS
    criteria = yardstick.judge([run.numbers for run in ordered]) if may_judge else []
    return YardstickRecord(
        name=yardstick.name,
        status=status,
        created=created,
        command=command,
        gatewise_version=gatewise.__version__,
        machine=machine,
        source=yardstick.source,
        claim=yardstick.claim,
        theirs=yardstick.theirs.text,
        theirs_known_from=yardstick.theirs.known_from,
        ours=yardstick.ours,
        judged=yardstick.judged,
        quick=yardstick.quick if is_quick else None,
        shown=list(yardstick.shown or ordered[0].numbers) if ordered else [],
        seeds=list(seeds),
        runs=ordered,
        criteria=[
            YardstickCriterion(
                text=one.text, statistic=one.statistic, rule=one.rule, threshold=one.threshold, holds=one.holds
            )
            for one in criteria
        ],
        reproduced=is_reproduced(criteria, len(runs), is_quick) if may_judge else None,
    )
