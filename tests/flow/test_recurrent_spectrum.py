"""Spectra of recurrent weights that are known, and against NumPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from dynamical_systems import orthogonal

import gatewise as gw
from problems import Problem, build_layer, one_of_each
from tolerances import assert_close, assert_fails, spoilt

STACKED = [*one_of_each(num_layers=2, bidirectional=True), *one_of_each(hidden_size=1)]
NAMES = {
    "RNN": ("recurrent",),
    "LSTM": ("input_gate", "forget_gate", "cell_gate", "output_gate"),
    "GRU": ("reset_gate", "update_gate", "new_gate"),
}


@pytest.mark.parametrize("module", [gw.nn, torch.nn], ids=["gatewise", "torch"])
@pytest.mark.parametrize("problem", STACKED, ids=lambda problem: problem.id)
def test_spectrum_of_each_block_is_numpys(problem: Problem, module: object) -> None:
    layer = build_layer(problem, module)
    spectrum = gw.flow.recurrent_spectrum(layer)
    assert spectrum.blocks == NAMES[problem.cell]
    suffixes = [f"l{k}{d}" for k in range(problem.num_layers) for d in ("", "_reverse")[: problem.num_directions]]
    for row, suffix in enumerate(suffixes):
        blocks = (
            getattr(layer, f"weight_hh_{suffix}").detach().numpy().reshape(-1, problem.hidden_size, problem.hidden_size)
        )
        for gate, block in enumerate(blocks):
            eigenvalues = np.linalg.eigvals(block)
            moduli = np.sort(np.abs(eigenvalues))[::-1]
            excess = math.sqrt(max(0.0, float((block**2).sum() - (moduli**2).sum())))
            for actual, expected in (
                (spectrum.singular_values[row, gate], np.linalg.svd(block, compute_uv=False)),
                (spectrum.eigenvalues[row, gate].abs(), moduli),
                (spectrum.eigenvalues[row, gate].sum().real, np.trace(block)),
                (spectrum.spectral_radius[row, gate], moduli[0]),
            ):
                reference = torch.as_tensor(np.array(expected))
                assert_close(actual, reference, "output")
                assert_fails(assert_close, actual, spoilt(reference), "output")
            assert spectrum.departure_from_normality[row, gate].item() == pytest.approx(excess, abs=1e-7)
            assert spectrum.departure_from_normality[row, gate].item() != pytest.approx(excess + 1e-5, abs=1e-7)


def rnn_with(weights: torch.Tensor) -> gw.nn.RNN:
    layer = gw.nn.RNN(2, len(weights)).double()
    with torch.no_grad():
        layer.weight_hh_l0.copy_(weights)
    return layer


def test_departure_is_zero_for_normal_and_known_for_a_triangle() -> None:
    rotation = gw.flow.recurrent_spectrum(rnn_with(0.9 * orthogonal(6, 1)))
    assert rotation.departure_from_normality.item() == pytest.approx(0, abs=1e-7)
    assert rotation.spectral_radius.item() == pytest.approx(0.9, abs=1e-12)
    triangle = gw.flow.recurrent_spectrum(rnn_with(torch.tensor([[0.8, 3.0], [0.0, -0.5]], dtype=torch.float64)))
    assert triangle.departure_from_normality.item() == pytest.approx(3, abs=1e-12)  # what stands above the diagonal
    assert triangle.spectral_radius.item() == pytest.approx(0.8, abs=1e-12)


def test_spectral_radius_is_not_the_largest_singular_value() -> None:
    """W = [[2, -4], [1, -2]] is nilpotent: radius 0 (found to the root of eps), largest singular value 5."""
    spectrum = gw.flow.recurrent_spectrum(rnn_with(torch.tensor([[2.0, -4.0], [1.0, -2.0]])))
    assert spectrum.spectral_radius.item() < 1e-7
    assert spectrum.singular_values[0, 0].tolist() == pytest.approx([5, 0], abs=1e-12)
    assert spectrum.departure_from_normality.item() == pytest.approx(5, abs=1e-12)


def test_projected_lstm_has_singular_values_alone() -> None:
    layer = build_layer(Problem("LSTM", proj_size=3, bidirectional=True))
    spectrum = gw.flow.recurrent_spectrum(layer)
    assert spectrum.singular_values.shape == (2, 4, 3)
    expected = torch.linalg.svdvals(layer.weight_hh_l0_reverse.detach().view(4, 5, 3))
    assert_close(spectrum.singular_values[1], expected, "output")
    assert_fails(assert_close, spectrum.singular_values[0], expected, "output")
    assert spectrum.eigenvalues is spectrum.spectral_radius is spectrum.departure_from_normality is None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_measuring_works_everywhere_in_float64(mode: type) -> None:
    layer = build_layer(Problem("GRU"), dtype=torch.float32)
    with mode():
        spectrum = gw.flow.recurrent_spectrum(layer)
    assert spectrum.singular_values.dtype == spectrum.departure_from_normality.dtype == torch.float64
    assert spectrum.eigenvalues.dtype == torch.complex128
    exact = gw.flow.recurrent_spectrum(layer.double())
    assert_close(spectrum.singular_values.clone(), exact.singular_values, "output")
    assert all(parameter.grad is None for parameter in layer.parameters())


def test_what_has_no_spectrum_is_refused() -> None:
    layer = build_layer(Problem("LSTM", bidirectional=True))
    with torch.no_grad():
        layer.weight_hh_l0_reverse[2, 1] = math.nan
    with pytest.raises(ValueError, match="weight_hh_l0_reverse must be finite"):
        gw.flow.recurrent_spectrum(layer)
    with pytest.raises(TypeError, match="got Sequential"):
        gw.flow.recurrent_spectrum(torch.nn.Sequential(layer))
