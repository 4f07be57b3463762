"""The layers over the whole grid, float32, against torch.nn and whatever other framework is installed."""

from __future__ import annotations

from collections.abc import Iterator

from gatewise.bench import JOBS, Claim, LayerPair, Point, take_turns
from performance.peers import invite
from performance.table import Part, Table


def measure(part: Part) -> Iterator[Point]:
    peers = invite(part)
    for size in part.sizes:
        pair = LayerPair(part.cell, size)
        for job in JOBS:
            contestants = pair.contestants(job)
            busy = {}
            for peer in peers:
                if (contestant := peer.contestant(pair, job)) is not None:
                    contestants.append(contestant)
                    busy[contestant.name] = peer.cores_busy(contestant)
            yield Point(
                cell=part.cell,
                size=size,
                job=job,
                samples=take_turns(contestants, part.pace),
                flops=size.flops(part.cell, job),
                cores_busy=busy,
                claims=tuple(
                    Claim(of=c.name, over="gatewise", target=1.0) for c in contestants if c.name != "gatewise"
                ),
            )


TABLE = Table(
    "layers",
    "One layer, float32",
    "Against torch.nn and other frameworks, each in its own natural layout. The target is to be slower than none.",
    measure,
)
