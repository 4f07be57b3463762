"""flow.json: what is written is read back, infinities included."""

import math

import pytest

from gatewise.errors import DataError
from gatewise.records import RunFolder

from .flow_sample import diagnosis, measures, network


def test_measures_are_read_back_with_nan_and_infinity(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_measures() is None
    exploding = diagnosis("RNN", growth=math.inf, slope=math.nan)
    folder.write_measures(measures(networks=[network("LSTM", seed=None), network("RNN", diagnosis=exploding)]))
    assert "NaN" not in (tmp_path / "flow.json").read_text()
    lstm, rnn = folder.read_measures().networks
    assert lstm.half_life == [3.0, math.inf]
    assert lstm.lyapunov.exponents == [-0.5, -0.1, -math.inf, -2.0]
    assert math.isnan(lstm.map.log_norm[1][0])
    assert rnn.diagnosis.growth == math.inf
    assert math.isnan(rnn.diagnosis.slope)
    assert (lstm.label, rnn.label) == ("LSTM", "RNN seed 0")


@pytest.mark.parametrize("content", ["{}", "not json", '{"schema": 2}'])
def test_damaged_measures_are_named(tmp_path, content):
    (tmp_path / "flow.json").write_text(content)
    with pytest.raises(DataError, match=r"flow\.json is not what this Gatewise writes"):
        RunFolder(tmp_path).read_measures()
