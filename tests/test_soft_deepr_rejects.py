"""What soft DeepR refuses: states that are not its own, and options that do not go together."""

import pytest
import torch
from nets import assert_same, train
from soft_deepr import ONE, start

import dsr
from dsr.methods.soft_rewiring import WakeUp


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s.pop("dormant"), "dormant"),
        (lambda s: s.update(dormant=None), "dormant: expected one each of .*got NoneType"),
        (lambda s: s["dormant"].pop("0.weight"), "dormant: expected one each of"),
        (lambda s: s["dormant"].update({"0.weight": torch.zeros(3)}), "dormant.*float32"),
        (lambda s: s["dormant"]["0.weight"].fill_(0.5), "0 where it is active"),
        (lambda s: s["dormant"]["2.weight"].mul_(1e9), r"numbers in \[-1, 1\] for 2.weight"),
        (lambda s: s["dormant"]["2.weight"].mul_(torch.nan), r"numbers in \[-1, 1\] for 2.weight"),
        (lambda s: s.update(budget=5), "budget: expected None, got 5"),
        (lambda s: s.pop("slept"), "slept"),
        (lambda s: s["slept"].fill_(10**6), "slept: expected at most"),
        (lambda s: s["slept"].neg_(), "slept: expected at most"),
    ],
)
def test_a_malformed_state_is_refused_and_nothing_changes(change, text):
    model, sparse, optimizer = start("momentum")
    train(model, sparse, optimizer, 3)
    before, state = sparse.state_dict(), sparse.state_dict()
    change(state)
    with pytest.raises(ValueError, match=text):
        sparse.load_state_dict(state)
    assert_same(sparse.state_dict(), before)


REFUSED = [
    ({"soft": 1}, TypeError, "soft: expected True or False, got 1"),
    ({"sparsity": 0.0}, ValueError, "sparsity: expected a number above 0 with soft, got 0"),
    ({"l1": 0.0}, ValueError, "l1: expected a number above 0 with soft, got 0"),
    ({"eta": 0}, ValueError, "eta: expected a number above 0 with soft, got 0"),
    ({"temperatures": (0, 0)}, ValueError, "temperatures: expected a number above 0 with soft"),
    ({"random_signs": True}, ValueError, "soft: .*leave random_signs and constraint"),
    ({"constraint": "global"}, ValueError, "soft: .*leave random_signs and constraint"),
]


@pytest.mark.parametrize(("fields", "error", "text"), REFUSED, ids=[case[2] for case in REFUSED])
def test_refused_by_name(fields, error, text):
    starts = (0.0, 0.5) if "temperatures" in fields else (0.0,)
    arguments = {"temperatures": (1.0,), **ONE, "temperature_starts": starts, **fields}
    with pytest.raises(error, match=text):
        dsr.DeepR(**arguments)


def test_the_rule_alone_is_refused():
    with pytest.raises(RuntimeError, match="rules with a dormant_start"):
        WakeUp(lambda step, total: 1.0, 1.0).apply(dsr.Reallocation(*[None] * 14), None)
