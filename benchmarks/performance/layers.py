"""The layers over the whole grid, float32, against torch.nn and whatever other framework is installed."""

from __future__ import annotations

from collections.abc import Iterator

from gatewise.bench import JOBS, Claim, LayerPair, Point, take_turns
from gatewise.errors import GatewiseError
from performance.peers import invite
from performance.table import Part, Table


def measure(part: Part) -> Iterator[Point]:
    peers = invite(part)
    for size in part.sizes:
        pair = LayerPair(part.cell, size)
        for job in JOBS:
            contestants, busy = pair.contestants(job), {}
            for peer in list(peers):
                try:
                    contestant = peer.contestant(pair, job)
                    if contestant is not None:
                        busy[peer.name] = peer.cores_busy(contestant)
                        contestants.append(contestant)
                except (GatewiseError, RuntimeError) as error:  # it leaves; the others go on
                    part.absent[peer.name] = f"{part.cell} {size} {job}: {error}"
                    peers.remove(peer)
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
