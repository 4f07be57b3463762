"""The Python code of the guides runs as it stands there, and says what their comments say."""

import re
from pathlib import Path

import torch

from gatewise import _native

GUIDE = (Path(__file__).parent.parent / "docs" / "drop-in.md").read_text(encoding="utf-8")


def blocks():
    return re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_drop_in_guide_runs_from_top_to_bottom(capsys):
    swap, train, ask, restore, init = blocks()
    names = {}
    exec(swap, names)
    assert capsys.readouterr().out == "swapped 1: encoder\n"
    model = names["model"]
    exec(train, names)
    assert model.encoder.path == ("native" if _native.cpu_level() != "none" else "torch")
    assert eval(ask.split("#")[0], names) == (False, True)
    exec(restore, names)
    assert type(model.encoder) is torch.nn.LSTM
    exec(init, names)
    lifetimes = 1 + (model.encoder.bias_ih_l1_reverse + model.encoder.bias_hh_l1_reverse)[32:64].exp()
    assert lifetimes.min() > 1.99
    assert lifetimes.max() < 50.01


def test_drop_in_guide_is_right_about_the_path_of_torch():
    import gatewise as gw

    layer = torch.nn.LSTM(3, 5, proj_size=2, dtype=torch.bfloat16)
    gw.accelerate(layer)
    layer(torch.zeros(2, 1, 3, dtype=torch.bfloat16))
    assert layer.path == "torch"
