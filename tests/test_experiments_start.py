"""Runs that start from an earlier run's masks or weights."""

import pytest
import torch

from dsr.checkpoints import Checkpoints
from dsr.cli import main
from dsr.data import digits
from dsr.experiments import RunConfig, Training, run
from dsr.experiments.network import build_network

EPOCHS = 2
LAYERS = ["fc1.weight", "fc2.weight", "fc3.weight"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Finished runs, by method, with a folder that holds no run."""
    folder = tmp_path_factory.mktemp("sources")
    run(RunConfig(sparsity=0.98, seed=3, epochs=EPOCHS, options={"period": 5}), folder / "dsr")
    run(RunConfig(method="dense", seed=3, epochs=EPOCHS), folder / "dense")
    return folder


def final_state(folder):
    parts = {"model": {}, "optimizer": {}, "sparse": {}}
    Checkpoints(folder / "checkpoints").load_latest(**parts)
    return parts


def copied(sources, **settings):
    settings = {"method": "static", "sparsity": 0.98, "epochs": EPOCHS, **settings}
    return Training(RunConfig(masks_from=str(sources / "dsr"), **settings))


def test_a_copied_mask_is_the_final_one_and_weights_are_those_of_the_first_draw(sources):
    training = copied(sources, seed=5)
    masks = training.sparse.masks()
    final = final_state(sources / "dsr")["model"]
    first = dict(build_network("lenet-300-100", digits(), seed=3).named_parameters())
    started = Training(RunConfig(sparsity=0.98, seed=3, epochs=EPOCHS)).sparse.masks()
    weights = dict(training.model.named_parameters())
    for name in LAYERS:
        assert not (final[name].bool() & ~masks[name]).any()
        assert torch.equal(weights[name], torch.where(masks[name], first[name], 0.0))
    assert (masks[LAYERS[0]] & ~started[LAYERS[0]]).any()  # places that were dormant there
    assert training.sparse.stats().active == training.sparse.budget == 1004
    assert training.sparse.distribution == "given"


def test_random_structure_keeps_the_layer_counts_and_follows_the_seed(sources):
    final = copied(sources).sparse.masks()
    drawn, again, other = (
        copied(sources, structure="random", seed=seed).sparse.masks() for seed in (5, 5, 6)
    )
    for name in LAYERS:
        assert int(drawn[name].sum()) == int(final[name].sum())
        assert torch.equal(drawn[name], again[name])
        assert not torch.equal(drawn[name], final[name])
    assert not torch.equal(drawn[LAYERS[0]], other[LAYERS[0]])


@pytest.mark.parametrize("seed", [3, 5])
def test_random_weights_are_no_draw_of_either_run(sources, seed):
    training = copied(sources, weights="random", seed=seed)
    mask, weight = training.sparse.masks()[LAYERS[0]], training.model.fc1.weight
    for known in (3, seed):
        first = build_network("lenet-300-100", digits(), known).fc1.weight
        assert not (weight[mask] == first[mask]).any()
    again = copied(sources, weights="random", seed=seed)
    assert torch.equal(again.model.fc1.weight, weight)


def test_the_same_masks_stay_fixed_or_move_with_the_method(sources):
    final = copied(sources).sparse.masks()
    for method, stays in (("static", True), ("set", False)):
        training = copied(sources, method=method)
        training.run()
        masks = training.sparse.masks()
        assert all(torch.equal(masks[name], final[name]) for name in LAYERS) == stays


def test_compressed_starts_from_the_dense_runs_final_weights(sources):
    config = RunConfig(
        method="compressed",
        sparsity=0.9,
        epochs=EPOCHS,
        options={"begin": 0.0},
        dense_from=str(sources / "dense"),
    )
    training = Training(config)
    state = final_state(sources / "dense")["model"]
    assert all(
        torch.equal(value, state[name]) for name, value in training.model.state_dict().items()
    )
    assert training.run().nonzeros == 50200 - 45180


def test_settings_survive_the_config_file(sources):
    config = copied(sources, structure="random", seed=5).config
    assert config.weights == "original"
    assert RunConfig.from_dict(config.to_dict()) == config


BAD = [
    ("--masks-from {}/none", "--masks-from: expected the folder of a finished run"),
    ("--masks-from {}/dsr --sparsity .9", "--sparsity: expected 0.98"),
    ("--masks-from {}/dsr --sparsity .98 --method snip", "--masks-from: expected a method"),
    ("--masks-from {}/dsr --sparsity .98 --data breast-cancer", "--masks-from: expected a run"),
    ("--masks-from {}/dsr --sparsity .98 --model lenet-5", "--masks-from: expected a run"),
    ("--masks-from {}/dsr --sparsity .98 --distribution erdos-renyi", "--distribution:"),
    ("--masks-from {}/dsr --sparsity .98 --dense-from {}/dense", "--dense-from: cannot"),
    ("--masks-from {}/dsr --sparsity .98 --weights orignal", "did you mean 'original'?"),
    ("--masks-from {}/dsr --sparsity .98 --structure finl", "did you mean 'final'?"),
    ("--weights random", "--weights: needs masks_from"),
    ("--structure final", "--structure: needs masks_from"),
    ("--dense-from {}/none", "--dense-from: expected the folder of a finished run"),
    ("--dense-from {}/dsr", "--dense-from: expected a run of method 'dense'"),
    ("--model lenet-5 --data breast-cancer", "--model: lenet-5 takes images"),
]


@pytest.mark.parametrize(("flags", "line"), BAD, ids=[flags for flags, _ in BAD])
def test_bad_input_is_one_line_and_writes_nothing(sources, tmp_path, capsys, flags, line):
    out = tmp_path / "out"
    arguments = [part.format(sources) for part in flags.split()]
    assert main(["train", "--out", str(out), *arguments]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert line in shown
    assert not out.exists()


def test_a_run_that_started_from_another_is_no_source(sources, tmp_path):
    second = copied(sources, epochs=1)
    run(second.config, tmp_path / "second")
    config = RunConfig(sparsity=0.98, epochs=1, masks_from=str(tmp_path / "second"))
    with pytest.raises(ValueError, match="starts from no other one"):
        Training(config)


def test_a_source_without_a_checkpoint_is_refused(sources, tmp_path):
    for name in ("config.json", "summary.json"):
        (tmp_path / name).write_bytes((sources / "dsr" / name).read_bytes())
    with pytest.raises(ValueError, match="masks_from: expected checkpoints"):
        Training(RunConfig(sparsity=0.98, epochs=1, masks_from=str(tmp_path)))
