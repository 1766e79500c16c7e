"""Hyper-parameters that DeepR refuses by name."""

import pytest
from nets import mlp

import dsr

REFUSED = [
    ({"eta": -1}, ValueError, "eta: .*got -1"),
    ({"temperatures": 1e-5}, TypeError, "temperatures: expected a tuple of numbers, got 1e-05"),
    ({"temperatures": ()}, ValueError, r"temperatures: .*of at least 0, got \(\)"),
    ({"temperatures": (1.0, -1.0)}, ValueError, "temperatures: .*of at least 0"),
    ({"temperatures": (1.0, float("nan"))}, ValueError, "temperatures: .*nan"),
    ({"temperatures": (1.0, True)}, TypeError, "temperatures: .*True"),
    ({"temperatures": (1.0,)}, ValueError, "temperature_starts: expected one for each of 1"),
    ({"temperature_starts": (0, 0.5, 0.5, 0.6)}, ValueError, "temperature_starts: .*rising"),
    ({"temperature_starts": (0.1, 0.2, 0.3, 0.4)}, ValueError, "temperature_starts: .*from 0"),
    ({"temperature_starts": (0, 0.5, 1, 2)}, ValueError, "temperature_starts: .*at most 1"),
    ({"stop": 2}, ValueError, "stop: .*got 2"),
    ({"constraint": "both"}, ValueError, "constraint: expected one of layer, global, got 'both'"),
    ({"l1": -1}, ValueError, "l1: .*got -1"),
]


@pytest.mark.parametrize(("fields", "error", "text"), REFUSED, ids=[case[2] for case in REFUSED])
def test_refused_by_name(fields, error, text):
    with pytest.raises(error, match=text):
        dsr.DeepR(0.5, **fields)


def test_the_schedule_needs_the_length_of_training():
    with pytest.raises(ValueError, match="total_steps: DeepR needs it"):
        dsr.sparsify(mlp(), dsr.DeepR(0.5))
    with pytest.raises(ValueError, match="total_steps: needed where there is more than one"):
        dsr.DeepR(0.5).noise_at(3, None)


def test_lists_become_tuples_and_options_are_json_values():
    method = dsr.DeepR(0.5, temperatures=[1.0, 0.5], temperature_starts=[0, 0.5])
    assert method == dsr.DeepR(0.5, temperatures=(1.0, 0.5), temperature_starts=(0, 0.5))
    assert method.options()["temperatures"] == [1.0, 0.5]
    assert method.l1 == 1e-5
    assert dsr.DeepR(**method.options()) == method
