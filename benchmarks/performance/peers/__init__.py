"""Other frameworks, where they are installed; gatewise depends on none of them.

All run in this process and take turns with the layers. Each is told how many threads it may use, before it starts any,
and how many cores it keeps busy is measured: who takes more does not take part.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

from gatewise.bench import Contestant, Job, LayerPair, assert_agreement
from performance.table import Part

PEERS = ("onnxruntime", "flax", "keras")
_LOOKED_AT_S = 0.3
_SLACK = 0.3  # cores: other threads of the process do a little, too


class Peer:
    """One framework that takes part."""

    def __init__(self, name: str, module: Any, threads: int) -> None:
        self.name, self._module, self._threads = name, module, threads

    def contestant(self, pair: LayerPair, job: Job) -> Contestant | None:
        """Return the peer at the pair's weights and input, checked against torch.nn; None if it cannot do the job."""
        prepared = self._module.prepare(pair, job, self._threads)
        if prepared is None:
            return None
        run, results = prepared
        actual, expected = results(), pair.expected(job)
        assert_agreement(self.name, actual, {name: expected[name] for name in actual})
        return Contestant(self.name, run)

    def cores_busy(self, contestant: Contestant) -> float:
        """Return CPU seconds a second of running.

        Raises
        ------
        RuntimeError
            If they are more than the threads it was allowed.
        """
        contestant.run()
        end = (start := time.perf_counter()) + _LOOKED_AT_S
        used = time.process_time()
        while time.perf_counter() < end:
            contestant.run()
        busy = (time.process_time() - used) / (time.perf_counter() - start)
        if busy > self._threads + _SLACK:
            raise RuntimeError(f"kept {busy:.1f} cores busy, limited to {self._threads}")
        return busy


def invite(part: Part) -> list[Peer]:
    """Return the peers that can take part; say in `part` which versions they are, and why others are absent."""
    peers = []
    for name in part.peers:
        try:
            module = importlib.import_module(f"performance.peers.on_{name}")
        except ImportError as error:
            part.absent[name] = str(error)
            continue
        module.limit_threads(part.threads)
        part.versions |= module.versions()
        peers.append(Peer(name, module, part.threads))
    return peers
