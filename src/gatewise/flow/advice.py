"""What to try, as it follows from the measured numbers.

Each rule names the number that it answers. The code can be pasted: it expects `gw`, `torch` and the diagnosed `model`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch.nn import Module, RNNBase

from gatewise.flow.diagnosis import Advice
from gatewise.flow.non_finite import NonFinite
from gatewise.flow.signs import Signs
from gatewise.flow.verdict import Flow, Thresholds, Verdict
from gatewise.nn.weights import equations_of, num_directions, parameter_suffix

# A tenth of the input's drive keeps tanh units of an orthogonal network in their linear part over 100 steps: measured
# on 16 and 64 units, mean slope 1 - h^2 = .97 to .99.
DRIVE = 0.1
USUAL_CLIP_NORM = 1.0  # Pascanu, Mikolov & Bengio (2013) and most recipes since; beyond, states grow with the gradient


@dataclass(frozen=True)
class Finding:
    """All that is known of one layer and direction when advice is given.

    Attributes
    ----------
    name : str
        Qualified name of the module.
    index : int
        Its row on the L*D axis.
    reached_lag : int
        Lags between the last step that the loss reads and the first step of the longest sequence.
    clip_norm : float
        Norm that the parameters' gradient would have if the states' gradient kept its norm at lag 0.
    """

    name: str
    layer: RNNBase
    index: int
    flow: Flow
    signs: Signs
    reached_lag: int
    clip_norm: float
    thresholds: Thresholds

    @property
    def expression(self) -> str:
        """The module as Python."""
        return expression_of(self.name)

    @property
    def recurrent_weight(self) -> str:
        """Its recurrent weight as Python."""
        return f"{self.expression}.weight_hh_{parameter_suffix(self.index, num_directions(self.layer))}"

    @property
    def t_max(self) -> int:
        """The longest dependency, for chrono_, which needs at least 3."""
        return max(3, math.ceil(self.flow.needed_lag) + 1)


def expression_of(name: str) -> str:
    """Return the module called `name` as Python.

    >>> expression_of(""), expression_of("encoder.rnn"), expression_of("layers.0")
    ('model', 'model.encoder.rnn', "model.get_submodule('layers.0')")
    """
    if not name:
        return "model"
    is_dotted = all(part.isidentifier() for part in name.split("."))
    return f"model.{name}" if is_dotted else f"model.get_submodule({name!r})"


def advice_for(finding: Finding, verdict: Verdict, non_finite: NonFinite | None) -> tuple[Advice, ...]:
    """Return what to try for one layer and direction, the best first."""
    if verdict is Verdict.EXPLODING:
        return (_clip(finding), *_bound_growth(finding))
    if verdict is Verdict.VANISHING:
        return _lengthen(finding)
    if non_finite is not None:
        return _repair(finding, non_finite)
    return ()


def _clip(finding: Finding) -> Advice:
    bound = min(finding.clip_norm, USUAL_CLIP_NORM)
    return Advice(
        f"clip the gradient's norm before each optimizer step at {bound:.2g}: without the growth on its way back it "
        f"would be {finding.clip_norm:.2g}, and {USUAL_CLIP_NORM:g} is the most that is usual",
        f"torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm={bound:.2g})",
    )


def _bound_growth(finding: Finding) -> tuple[Advice, ...]:
    """Return what keeps one step from amplifying."""
    if equations_of(finding.layer).memory_gate is not None:
        return (
            Advice(
                "start anew from orthogonal recurrent weights, whose products do not grow, and memory gates for "
                f"{finding.t_max} steps",
                f"gw.nn.init.orthogonal_({finding.expression})\n"
                f"gw.nn.init.chrono_({finding.expression}, t_max={finding.t_max})",
            ),
        )
    factor = finding.signs.recurrent_norm
    scale = Advice(
        f"divide the recurrent weights by their largest singular value, {factor:.3g}: no step can amplify then",
        f"with torch.no_grad():\n    {finding.recurrent_weight}.div_({factor:.6g})",
    )
    anew = Advice(
        "or start anew from orthogonal recurrent weights, which neither amplify nor damp",
        f"gw.nn.init.orthogonal_({finding.expression})",
    )
    return (scale, anew) if factor > 1 else (anew,)


def _lengthen(finding: Finding) -> tuple[Advice, ...]:
    """Return what lets the gradient reach further back."""
    flow = finding.flow
    if math.isnan(flow.horizon):
        return (
            Advice(
                "the loss does not depend on this direction's states: look for a detach, a torch.no_grad, or an output "
                "that is never read"
            ),
        )
    if finding.reached_lag < min(flow.needed_lag, flow.longest_lag):
        return (
            Advice(
                f"the loss reads this direction no later than {finding.reached_lag} steps after its start; read its "
                "last state, h_n, which for the reverse direction is the output at step 0"
            ),
        )
    equations = equations_of(finding.layer)
    if equations.memory_gate is not None:
        return _open_memory_gate(finding, equations.memory_gate)
    return (*_keep_norm(finding), _another_cell(finding))


def _factor_over(finding: Finding, num_steps: float) -> float:
    """Return the factor per step at which the gradient just reaches back `num_steps`."""
    return float(finding.thresholds.horizon_factor ** (-1 / max(num_steps, 1)))


def _open_memory_gate(finding: Finding, gate_name: str) -> tuple[Advice, ...]:
    # The way in and out of the cell costs the LSTM another factor of 3 to 10, and gates that move lose more than their
    # mean says: measured on 16 units, four times the lag is enough in every one of five seeds, twice is not.
    reach = 4 * finding.flow.needed_lag
    opened = _factor_over(finding, reach)
    # The logit of `opened`, which rounds to 1 where the lag is very long.
    bias = -math.log(math.expm1(math.log(finding.thresholds.horizon_factor) / max(reach, 1)))
    gate = gate_name.replace("_", " ")
    return (
        Advice(
            f"start anew with memory gates spread over dependencies of up to {finding.t_max} steps (chrono "
            f"initialisation): the {gate} stands at {finding.signs.memory_gate:.2f} on average",
            f"gw.nn.init.chrono_({finding.expression}, t_max={finding.t_max})",
        ),
        Advice(
            f"or with a bias that opens the {gate} to {opened:.3f}, with which the direct path alone keeps 1/"
            f"{finding.thresholds.horizon_factor:g} of the gradient over {reach:g} steps, four times what is needed",
            f"gw.nn.init.forget_bias_({finding.expression}, {bias:.2f})",
        ),
    )


def _keep_norm(finding: Finding) -> tuple[Advice, ...]:
    """Return initialisations of the vanilla RNN under which its step Jacobian keeps norms."""
    name, signs = finding.expression, finding.signs
    if finding.layer.mode == "RNN_RELU":
        return (
            Advice(
                "start anew from the identity (IRNN): an active relu unit then passes the gradient on unchanged; "
                f"{signs.activation_slope:.0%} of them are active",
                f"gw.nn.init.identity_({name})",
            ),
        )
    return (
        Advice(
            "start anew from orthogonal recurrent weights and a tenth of the input's drive, so that the units stay in "
            f"the linear part of tanh: their mean slope is {signs.activation_slope:.2f} and must exceed "
            f"{_factor_over(finding, finding.flow.needed_lag):.3f}",
            f"gw.nn.init.orthogonal_({name})\n"
            "with torch.no_grad():\n"
            f"    for name, parameter in {name}.named_parameters():\n"
            f'        if not name.startswith("weight_hh"):\n'
            f"            parameter.mul_({DRIVE})",
        ),
    )


def _another_cell(finding: Finding) -> Advice:
    layer, name = finding.layer, finding.expression
    options = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
    given = "".join(
        f", {key}={getattr(layer, key)}" for key, default in options.items() if getattr(layer, key) != default
    )
    replaced = name if not name.endswith(")") else ""
    made = f"torch.nn.GRU({layer.input_size}, {layer.hidden_size}{given})"
    assignment = f"{replaced} = {made}" if replaced else f"model.set_submodule({finding.name!r}, {made})"
    return Advice(
        "or take a cell with a memory gate; the GRU is called like the RNN",
        f"{assignment}\ngw.nn.init.chrono_({name}, t_max={finding.t_max})",
    )


def _repair(finding: Finding, non_finite: NonFinite) -> tuple[Advice, ...]:
    if non_finite.kind == "parameter":
        return (
            Advice(
                "go back to the last good checkpoint or initialise the layer anew; clip the gradient's norm and watch "
                "the training with gw.flow.Monitor to see where it begins",
                f"{finding.expression}.reset_parameters()",
            ),
        )
    if non_finite.kind == "input":
        return (Advice(f"look at what the layer is fed at step {non_finite.step} of sequence {non_finite.sequence}"),)
    if non_finite.kind == "gradient" and non_finite.quantity == "output":
        return (OUTSIDE,)
    if equations_of(finding.layer).memory_gate is None and finding.signs.recurrent_norm > 1:
        return _bound_growth(finding)
    return (Advice("the numbers overflow inside the layer: standardise its input, or compute in float64"),)


OUTSIDE = Advice(
    "the recurrent states are finite: look in the loss and in the modules after the layer for log or sqrt of 0 and for "
    "a division by 0"
)


def advice_outside(model: Module, non_finite: NonFinite | None, recurrent: set[str]) -> tuple[Advice, ...]:
    """Return what to try where something outside the recurrent layers is not finite; `recurrent` are their names."""
    if non_finite is None:
        return ()
    if non_finite.kind == "loss":
        return (OUTSIDE,)
    owner, _, _ = non_finite.quantity.rpartition(".")
    if non_finite.kind != "parameter" or owner in recurrent:
        return ()
    can_reset = hasattr(model.get_submodule(owner), "reset_parameters")
    return (
        Advice(
            "go back to the last good checkpoint or initialise the module anew, and clip the gradient's norm",
            f"{expression_of(owner)}.reset_parameters()" if can_reset else "",
        ),
    )
