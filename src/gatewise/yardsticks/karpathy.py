"""Karpathy, Johnson & Fei-Fei (2015): what the gates and cells of a character model do after training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gatewise import flow
from gatewise.data.built_in import python_help
from gatewise.data.text import CharacterTask, text_from_bytes
from gatewise.training import LoopSettings
from gatewise.yardsticks.arm import Arm, Result, train_arm
from gatewise.yardsticks.yardstick import Criterion, Numbers, Theirs, Yardstick, lowest, values

CHARACTERS, READ_CHARACTERS = 300_000, 20_000
MOSTLY = 0.5


class Karpathy(Yardstick):
    """Saturation of the forget gates, and the cell that knows best how far the line has come."""

    name = "karpathy2015"
    source = "Karpathy, Johnson & Fei-Fei (2015), Visualizing and understanding recurrent networks. arXiv:1506.02078"
    claim = (
        "In a trained character LSTM many forget gates are right-saturated, few left-saturated, and a cell follows the "
        "position in the line."
    )
    theirs = Theirs("character models; a gate is left-saturated below .1 and right-saturated above .9", "paper")
    ours = (
        "the first 300 000 characters of Python's help texts, LSTM of 128 units, T = 100, Adam .003, clipping at 1, "
        "batches of 20, 2000 steps; read as one stream over the last 20 000 characters, which were not trained on"
    )
    judged = (
        "in every seed at least a tenth of the units have their forget gate above .9 at more than half of the steps, "
        "and fewer have it below .1; the cell state that correlates best with the position in the line on the first "
        "half of the stream has |r| of at least .7 on the second"
    )
    quick = "1 seed, 50 000 characters, 32 units, 100 steps, 2000 characters read"

    def run(self, seed: int, is_quick: bool = False) -> Numbers:
        """Train one model and read its gates and cells."""
        content = python_help()[: 50_000 if is_quick else CHARACTERS]
        task = CharacterTask(text_from_bytes(content.encode(), "python-help", "python-help"), 100)
        loop = LoopSettings(3e-3, batch_size=20, max_steps=100 if is_quick else 2000)
        result = train_arm(Arm("LSTM", "LSTM", 32 if is_quick else 128, loop), task, seed)
        return {"LSTM: bits per character": result.score} | _read(
            result, task, content[-(2000 if is_quick else READ_CHARACTERS) :]
        )

    def judge(self, runs: Sequence[Numbers]) -> list[Criterion]:
        """Hold the worst seed against the thresholds."""
        right, left = (values(runs, f"units {side}-saturated") for side in ("right", "left"))
        return [
            Criterion("least share of units right-saturated", float(np.min(right)), "at least", 0.1),
            Criterion("the least of right minus left", float(np.min(np.subtract(right, left))), "at least", 0.0),
            Criterion("lowest absolute r of the line cell", lowest(runs, "line cell: absolute r"), "at least", 0.7),
        ]


def _read(result: Result, task: CharacterTask, stream: str) -> Numbers:
    """Return what gates and cells do along `stream`, read as one sequence."""
    with torch.no_grad():
        trace = result.model.recurrent.trace(task.vocabulary.one_hot(task.vocabulary.encode(stream))[None])
    forget = flow.gate_statistics(trace)["forget_gate"]
    if trace.cell is None:
        raise TypeError("an LSTM has cell states")
    return {
        "units right-saturated": float((forget.high[0] > MOSTLY).double().mean()),
        "units left-saturated": float((forget.low[0] > MOSTLY).double().mean()),
        "line cell: absolute r": line_correlation(trace.cell[0, :, 0].double(), line_positions(stream)),
    }


def line_positions(text: str) -> Tensor:
    r"""Return the number of characters since the line began, (T,): 0 for its first.

    >>> line_positions("ab\nc").tolist()
    [0.0, 1.0, 2.0, 0.0]
    """
    positions, since = [], 0
    for character in text:
        positions.append(float(since))
        since = 0 if character == "\n" else since + 1
    return torch.tensor(positions, dtype=torch.float64)


def line_correlation(cells: Tensor, positions: Tensor) -> float:
    """Return |r| on the second half of the unit whose |r| is largest on the first; cells (T, H), positions (T,)."""
    half = len(positions) // 2
    chosen = int(_correlations(cells[:half], positions[:half]).abs().argmax())
    return float(_correlations(cells[half:], positions[half:])[chosen].abs())


def _correlations(cells: Tensor, positions: Tensor) -> Tensor:
    """Return Pearson's r of every unit with the position, (H,); 0 for a unit that never moves."""
    moved, centred = cells - cells.mean(0), positions - positions.mean()
    r: Tensor = moved.T @ centred / (moved.norm(dim=0) * centred.norm())
    return r.nan_to_num(0.0)
