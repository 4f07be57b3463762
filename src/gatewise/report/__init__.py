"""From a run record to one self-contained HTML page: the verdict first, then the numbers, then why."""

from gatewise.report.page import render, render_flow, render_run

__all__ = ["render", "render_flow", "render_run"]
