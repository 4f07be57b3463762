"""Running a yardstick: its seeds side by side, a process of one thread each, and the record of what they gave."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from pathlib import Path

import gatewise
from gatewise.compare.processes import interrupts_held, process_context, start_process
from gatewise.errors import GatewiseError
from gatewise.records import (
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

    Raises
    ------
    GatewiseError
        If a process dies.
    """
    seeds = yardstick.quick_seeds if is_quick else yardstick.seeds
    num_jobs = min(jobs or usable_cores(), len(seeds))
    record = _begun(yardstick, is_quick, seeds, num_jobs, command)
    write_yardstick(folder, record)
    executor = ProcessPoolExecutor(num_jobs, process_context(), start_process)
    try:
        with interrupts_held():
            futures = [executor.submit(run_seed, yardstick, seed, is_quick) for seed in seeds]
        for future in as_completed(futures):
            run = future.result()
            on_run(run)
            record = _with_run(record, run)
            write_yardstick(folder, record)
    except BrokenProcessPool as error:
        raise GatewiseError(f"a process of {yardstick.name} died (out of memory?); try --jobs 1") from error
    except BaseException:
        for process in multiprocessing.active_children():  # a seed takes minutes and hears nothing meanwhile
            process.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    record = judged(yardstick, record)
    write_yardstick(folder, record)
    return record


def run_seed(yardstick: Yardstick, seed: int, is_quick: bool) -> YardstickRun:
    """Run one seed in this process."""
    started = time.perf_counter()
    numbers = yardstick.run(seed, is_quick)
    return YardstickRun(seed=seed, seconds=time.perf_counter() - started, numbers=numbers)


def judged(yardstick: Yardstick, record: YardstickRecord) -> YardstickRecord:
    """Return the complete record, judged unless it is quick or has too few seeds."""
    is_quick, num_seeds = record.quick is not None, len(record.runs)
    if is_quick or num_seeds < LEAST_SEEDS:
        return record.model_copy(update={"status": "complete"})
    criteria = yardstick.judge([run.numbers for run in record.runs])
    return record.model_copy(
        update={
            "status": "complete",
            "criteria": [
                YardstickCriterion(
                    text=one.text, statistic=one.statistic, rule=one.rule, threshold=one.threshold, holds=one.holds
                )
                for one in criteria
            ],
            "reproduced": is_reproduced(criteria, num_seeds, is_quick),
        }
    )


def _begun(yardstick: Yardstick, is_quick: bool, seeds: Sequence[int], num_jobs: int, command: str) -> YardstickRecord:
    """Return the record before the first seed is done."""
    return YardstickRecord(
        name=yardstick.name,
        status="running",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        gatewise_version=gatewise.__version__,
        machine=machine_facts(num_jobs, threads_per_run=1),
        source=yardstick.source,
        claim=yardstick.claim,
        theirs=yardstick.theirs.text,
        theirs_known_from=yardstick.theirs.known_from,
        ours=yardstick.ours,
        judged=yardstick.judged,
        quick=yardstick.quick if is_quick else None,
        shown=list(yardstick.shown),
        seeds=list(seeds),
        runs=[],
        criteria=[],
        reproduced=None,
    )


def _with_run(record: YardstickRecord, run: YardstickRun) -> YardstickRecord:
    """Return the record with one more seed, in the order of the seeds."""
    runs = sorted([*record.runs, run], key=lambda one: one.seed)
    return record.model_copy(update={"runs": runs, "shown": record.shown or list(run.numbers)})
