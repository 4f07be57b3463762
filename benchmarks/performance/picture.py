"""The table `layers` as a static picture: how many times faster than torch.nn, with its interval. Drawing alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from gatewise.bench import Point, judge
from gatewise.report.colours import NEUTRAL, colour

ROW, LEFT, RIGHT, TOP, BOTTOM = 18, 165, 20, 40, 40  # px
WIDTH_OF_PANEL = 300
TICKS = (0.5, 1, 2, 5, 10, 20, 50)


def ratios_as_svg(points: Sequence[Point]) -> str:
    """Return an SVG: one panel a job, one row a cell and size, a logarithmic axis, a line at 1."""
    jobs = list(dict.fromkeys(point.job for point in points))
    rows = list(dict.fromkeys(point.label for point in points))
    estimates = {(p.job, p.label): (judge(p, p.claims[0]).estimate, p.cell) for p in points}
    low = min(0.8, *(estimate.low for estimate, _ in estimates.values()))
    high = max(1.25, *(estimate.high for estimate, _ in estimates.values()))
    height = TOP + ROW * len(rows) + BOTTOM
    width = LEFT + (WIDTH_OF_PANEL + RIGHT) * len(jobs)
    title = "How many times as fast as torch.nn, with 95 % intervals"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{NEUTRAL}">',
        f"<title>{title}</title>",
    ]
    for number, row in enumerate(rows):
        parts.append(f'<text x="{LEFT - 10}" y="{_y(number) + 4}" text-anchor="end">{escape(row)}</text>')
    for number, job in enumerate(jobs):
        left = LEFT + number * (WIDTH_OF_PANEL + RIGHT)

        def x(ratio: float, left: int = left) -> float:
            return left + WIDTH_OF_PANEL * math.log(ratio / low) / math.log(high / low)

        parts.append(f'<text x="{left + WIDTH_OF_PANEL / 2}" y="20" text-anchor="middle">{escape(job)}</text>')
        for tick in (tick for tick in TICKS if low <= tick <= high):
            style = 'stroke-width="1.5"' if tick == 1 else 'stroke-opacity=".25"'
            parts.append(f'<path d="M{x(tick):.1f} {TOP - 8}V{height - BOTTOM}" stroke="{NEUTRAL}" {style}/>')
            parts.append(f'<text x="{x(tick):.1f}" y="{height - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
        for row in rows:
            if (job, row) in estimates:
                estimate, cell = estimates[job, row]
                y = _y(rows.index(row))
                interval = f"M{x(estimate.low):.1f} {y}H{x(estimate.high):.1f}"
                parts.append(f'<path d="{interval}" stroke="{colour(cell)}" stroke-width="3" stroke-opacity=".5"/>')
                parts.append(f'<circle cx="{x(estimate.value):.1f}" cy="{y}" r="4" fill="{colour(cell)}"/>')
    parts.append(f'<text x="{width / 2}" y="{height - 6}" text-anchor="middle">{title}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _y(row: int) -> int:
    return TOP + ROW * row + ROW // 2
