"""What a diagnosis says, and how it reads."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass

from gatewise.flow.non_finite import NonFinite
from gatewise.flow.verdict import Flow, Thresholds, Verdict, worst


@dataclass(frozen=True)
class Evidence:
    """One measured number.

    Attributes
    ----------
    quantity : str
    value : float
    threshold : str
        What it is held against, in words, "" where nothing is decided by it.
    source : str
        How it was measured.
    """

    quantity: str
    value: float
    threshold: str
    source: str

    def __str__(self) -> str:
        held_against = f", {self.threshold}" if self.threshold else ""
        return f"{self.quantity}: {self.value:.4g}{held_against}  [{self.source}]"


@dataclass(frozen=True)
class Advice:
    """One thing to try.

    Attributes
    ----------
    text : str
        What to do and the number that it follows from.
    code : str
        The same as Python with `gw`, `torch` and `model` as names; "" where there is no line for it.
    """

    text: str
    code: str = ""


@dataclass(frozen=True)
class LayerDiagnosis:
    """The diagnosis of one layer and direction.

    Attributes
    ----------
    name : str
        Qualified name of the module; "" is the model itself.
    cell : str
        "RNN", "LSTM" or "GRU".
    layer, direction : int, str
        Which of the module's layers; "forward" or "reverse".
    verdict : Verdict
    flow : Flow
        Slope, growth, horizon and the lag that is needed, in steps.
    non_finite : NonFinite or None
        The first value that is NaN or infinite: step, sequence, gate.
    evidence : tuple of Evidence
    advice : tuple of Advice
    """

    name: str
    cell: str
    layer: int
    direction: str
    verdict: Verdict
    flow: Flow
    non_finite: NonFinite | None
    evidence: tuple[Evidence, ...]
    advice: tuple[Advice, ...]

    @property
    def title(self) -> str:
        """Name, layer and direction in words."""
        name = f"{self.name} ({self.cell})" if self.name else self.cell
        return f"{name}, layer {self.layer}, {self.direction}"


@dataclass(frozen=True)
class Diagnosis:
    """The diagnosis of a model; ``print`` it.

    Attributes
    ----------
    verdict : Verdict
        That of the worst layer; NON_FINITE also where something outside the recurrent layers is not finite.
    layers : tuple of LayerDiagnosis
        One a module, layer and direction, in the order in which the model calls them.
    non_finite : NonFinite or None
        The first cause in the whole model.
    loss : float
    gradient_norm : float
        Euclidean norm of the gradient of all parameters, in the model's own precision.
    thresholds : Thresholds
    advice : tuple of Advice
        For what is wrong outside the recurrent layers.
    """

    verdict: Verdict
    layers: tuple[LayerDiagnosis, ...]
    non_finite: NonFinite | None
    loss: float
    gradient_norm: float
    thresholds: Thresholds
    advice: tuple[Advice, ...]

    @property
    def worst(self) -> LayerDiagnosis:
        """The layer with the worst verdict; of several the first."""
        verdict = worst(layer.verdict for layer in self.layers)
        return next(layer for layer in self.layers if layer.verdict == verdict)

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {_headline(self)}"]
        lines += [f"first: {self.non_finite}"] if self.non_finite else []
        lines += [f"loss {self.loss:.4g}, norm of the parameters' gradient {self.gradient_norm:.4g}"]
        lines += _advice_lines(self.advice)
        for layer in self.layers:
            lines += ["", f"{layer.title}: {layer.verdict}"]
            lines += [f"  {layer.non_finite}"] if layer.non_finite else []
            lines += [f"  {evidence}" for evidence in layer.evidence]
            lines += _advice_lines(layer.advice)
        return "\n".join(lines)


def _advice_lines(advice: tuple[Advice, ...]) -> list[str]:
    lines = []
    for part in advice:
        lines += textwrap.wrap(part.text, width=120, initial_indent="  -> ", subsequent_indent="     ")
        lines += [f"       {line}" for line in part.code.splitlines()]
    return lines


def _headline(diagnosis: Diagnosis) -> str:
    flow, title = diagnosis.worst.flow, diagnosis.worst.title
    return {
        Verdict.NON_FINITE: "a value is NaN or infinite, so nothing can be learned from this batch",
        Verdict.EXPLODING: f"in {title}, the gradient grows by a factor {flow.growth:.3g} over {flow.longest_lag} "
        "steps back",
        Verdict.VANISHING: f"no gradient reaches {title}"
        if math.isnan(flow.horizon)
        else f"in {title}, the gradient reaches back {flow.horizon:g} {'step' if flow.horizon == 1 else 'steps'} "
        f"where {flow.needed_lag:g} are needed",
        Verdict.HEALTHY: _healthy(diagnosis),
    }[diagnosis.verdict]


def _healthy(diagnosis: Diagnosis) -> str:
    flow = diagnosis.worst.flow
    if all(layer.flow.needed_lag <= layer.flow.longest_lag for layer in diagnosis.layers):
        return "the gradient reaches as far back as is needed, in every layer"
    return (
        f"the gradient reaches the first step in every layer; {flow.needed_lag:g} steps are needed, more than there are"
    )
