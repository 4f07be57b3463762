"""Records to docs/performance.md or a page like it: what lies between its two marks is written anew, the rest kept."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from gatewise.bench import BenchRecord, Point, Verdict, geometric_mean, gflops_per_s, judge
from performance.picture import ratios_as_svg
from performance.table import Table

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
DIFFERENCE_UNITS = {"s": (1e6, "us"), "bytes": (2.0**-20, "MiB")}  # by a point's unit: scale and name


def write(page: Path, tables: Sequence[Table], records: Sequence[BenchRecord]) -> None:
    """Write the measured part of `page`, and the picture beside it."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = []
    for table in tables:
        mine = [record for record in records if record.table == table.name]
        if mine:
            parts.append(section(table, mine))
    layers = [point for record in records if record.table == "layers" for point in record.points]
    if layers:
        (page.parent / "pictures" / f"{page.stem}.svg").write_text(ratios_as_svg(layers), encoding="utf-8")
    page.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}", encoding="utf-8")


def section(table: Table, records: Sequence[BenchRecord]) -> str:
    """Return a table's heading, text, rows and where they were measured."""
    blocks = [f"### {table.title}", table.text]
    points = [point for record in records for point in record.points]
    rate = statistics.median(rate for record in records for rate in record.gemm_flops_per_s) if points else 0.0
    for job in dict.fromkeys(point.job for point in points):
        rows = [point for point in points if point.job == job]
        blocks += [f"**{job.capitalize()}**", markdown_table(rows, rate), summary(rows)]
    return "\n\n".join([*blocks, *facts(records, rate)])


def markdown_table(points: Sequence[Point], gemm_rate: float) -> str:
    """Return the points' medians, their rate, and each claim with its interval, target and verdict."""
    contestants = list(dict.fromkeys(name for point in points for name in point.samples))
    claims = list(dict.fromkeys((claim.of, claim.over) for point in points for claim in point.claims))
    has_rate = any(point.flops for point in points)
    unit = "MiB" if points[0].unit == "bytes" else "ms"
    header = ["NxTxIxH", *(f"{name}, {unit}" for name in contestants)]
    header += ["GFLOP/s (of torch.mm)"] if has_rate else []
    header += [f"{of} / {over} (95 %)" for of, over in claims]
    lines = [header, ["---"] * len(header)]
    for point in points:
        row = [point.label, *(median_of(point, name) for name in contestants)]
        row += [rate_of(point, gemm_rate)] if has_rate else []
        lines.append([*row, *(claim_of(point, of, over) for of, over in claims)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def median_of(point: Point, name: str) -> str:
    """Return a contestant's median in ms or MiB."""
    if name not in point.samples:
        return ""
    median = statistics.median(point.samples[name])
    return f"{median / 2**20:.1f}" if point.unit == "bytes" else f"{1e3 * median:.3g}"


def rate_of(point: Point, gemm_rate: float) -> str:
    """Return at which rate gatewise does the matrix products, and which share of torch.mm's that is."""
    rate = gflops_per_s(point, "gatewise")
    return "" if rate is None else f"{rate:.0f} ({1e11 * rate / gemm_rate:.0f} %)"


def claim_of(point: Point, of: str, over: str) -> str:
    """Return the figure, its interval and what it means for the target."""
    found = [claim for claim in point.claims if (claim.of, claim.over) == (of, over)]
    if not found:
        return ""
    verdict = judge(point, found[0])
    text = figure(verdict)
    if found[0].target == 1.0 and verdict.is_no_difference:
        return f"{text}: no difference"
    return text if found[0].target is None else f"{text}; {target_text(verdict)}: {verdict.text}"


def figure(verdict: Verdict) -> str:
    """Return the estimate: a ratio as it is, a difference in microseconds or MiB."""
    estimate = verdict.estimate
    if verdict.claim.statistic == "difference":
        scale, unit = DIFFERENCE_UNITS[verdict.unit]
        value, low, high = (scale * number for number in (estimate.value, estimate.low, estimate.high))
        digits = 0 if unit == "us" else 1
        return f"{value:+.{digits}f} {unit} ({low:+.{digits}f} to {high:+.{digits}f})"
    return f"{estimate.value:.2f} ({estimate.low:.2f}-{estimate.high:.2f})"


def target_text(verdict: Verdict) -> str:
    """Return the target as ``"≥ 3"`` or ``"≤ 50 us"``."""
    sign = "≥" if verdict.claim.bound == "at least" else "≤"
    scale, unit = DIFFERENCE_UNITS[verdict.unit] if verdict.claim.statistic == "difference" else (1.0, "")
    return f"{sign} {scale * (verdict.claim.target or 0.0):g} {unit}".rstrip()


def summary(points: Sequence[Point]) -> str:
    """Return, for each claim, the geometric mean of the ratios and at how many points the target is met."""
    lines = []
    for of, over in dict.fromkeys((claim.of, claim.over) for point in points for claim in point.claims):
        verdicts = [judge(p, claim) for p in points for claim in p.claims if (claim.of, claim.over) == (of, over)]
        ratios = [v.estimate.value for v in verdicts if v.claim.statistic != "difference"]
        aimed = [v for v in verdicts if v.claim.target is not None]
        parts = [f"geometric mean {geometric_mean(ratios):.2f}"] if ratios else []
        parts += [f"target met at {sum(v.is_met for v in aimed)} of {len(aimed)}"] if aimed else []
        lines.append(f"- {of} / {over}: {', '.join(parts)}")
    return "\n".join(lines)


def facts(records: Sequence[BenchRecord], gemm_rate: float) -> list[str]:
    """Return where and how it was measured, and who was not there."""
    machine, first = records[0].machine, records[0]
    versions = {f"torch {machine.packages['torch']}"}
    versions |= {f"{name} {version}" for record in records for name, version in record.versions.items()}
    threads = " and ".join(map(str, sorted({record.threads for record in records}))) + " threads a contestant"
    variables = ", ".join(f"{key}={value}" for key, value in first.environment.items()) or "no OMP_* or MKL_* set"
    rounds = sorted(len(values) for record in records for point in record.points for values in point.samples.values())
    where = f"{machine.processor}, {machine.cores} cores, {threads}, kernels {machine.cpu_level}"
    how = f"torch.mm {gemm_rate / 1e9:.0f} GFLOP/s; {variables}; {rounds[0]} to {rounds[-1]} rounds; {first.date[:10]}"
    lines = [f"{where}; {', '.join(sorted(versions))}; {how}."]
    absent = {f"{name} was absent: {why}" for record in records for name, why in record.absent.items()}
    return lines + sorted(absent)
