"""Grids of runs: results do not depend on processes or order, finished runs are kept."""

import csv
import json
import shutil

import pytest

from dsr.cli import main
from dsr.experiments import Comparison, RunConfig, run

GRID = {
    "methods": ("dense", "dsr"),
    "sparsity": (0.9, 0.98),
    "distribution": ("uniform", "erdos-renyi"),
    "seeds": (0, 1),
    "epochs": 2,
    "options": {"dsr": {"period": 5}},
}
DSR_RUNS = [
    f"dsr-{sparsity}-{distribution}-seed{seed}"
    for sparsity in (0.9, 0.98)
    for distribution in ("uniform", "erdos-renyi")
    for seed in (0, 1)
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("compare") / "grid"
    comparison = Comparison(path, **GRID, jobs=1)
    seen = []
    assert comparison.run(seen.append) == {}
    assert sorted(seen) == sorted(comparison.runs)
    return path


def results(path):
    with (path / "compare.csv").open() as file:
        table = list(csv.DictReader(file))
    for row in table:
        row.pop("seconds")
    return table


def test_each_run_has_a_folder_and_dense_one_a_seed(finished):
    folders = sorted(entry.name for entry in finished.iterdir() if entry.is_dir())
    assert folders == sorted(["dense-seed0", "dense-seed1", *DSR_RUNS])
    assert all((finished / name / "summary.json").is_file() for name in folders)


def test_the_table_has_a_row_a_run(finished):
    table = results(finished)
    assert len(table) == 10
    assert list(table[0]) == [
        "method",
        "sparsity",
        "distribution",
        "seed",
        "test_accuracy",
        "nonzeros",
    ]
    for row in table:
        assert 0 < float(row["test_accuracy"]) <= 1
        assert int(row["nonzeros"]) == {"0.0": 50200, "0.9": 5020, "0.98": 1004}[row["sparsity"]]
    assert (finished / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_of_the_grid_equals_the_run_alone(finished):
    config = RunConfig(sparsity=0.9, seed=1, epochs=2, options={"period": 5})
    alone = run(config)
    rows = [r for r in results(finished) if r["method"] == "dsr" and r["seed"] == "1"]
    same = next(r for r in rows if (r["sparsity"], r["distribution"]) == ("0.9", "uniform"))
    assert float(same["test_accuracy"]) == alone.test_accuracy


def interrupt(name):
    raise KeyboardInterrupt


def test_processes_and_interrupts_change_no_result(finished, tmp_path):
    grid = {**GRID, "sparsity": (0.98,), "distribution": ("uniform",), "methods": ("dsr",)}
    with pytest.raises(KeyboardInterrupt):
        Comparison(tmp_path / "grid", **grid, jobs=2).run(interrupt)
    comparison = Comparison(tmp_path / "grid", **grid, jobs=2)
    assert len(comparison.finished) >= 1
    assert comparison.run() == {}
    names = list(comparison.runs)
    assert names == ["dsr-0.98-uniform-seed0", "dsr-0.98-uniform-seed1"]
    for name in names:
        for file in ("state.json", "tensors.safetensors"):
            mine, other = (
                (path / name / "checkpoints" / "step-000000000026" / file).read_bytes()
                for path in (tmp_path / "grid", finished)
            )
            assert mine == other


def test_finished_runs_are_kept_and_new_ones_added(finished, tmp_path):
    path = tmp_path / "grid"
    shutil.copytree(finished, path)
    grid = {**GRID, "methods": ("static", "dsr"), "seeds": (1, 2), "sparsity": (0.9,)}
    grid |= {"distribution": ("uniform",), "jobs": 1}
    kept = (path / "dsr-0.9-uniform-seed1" / "metrics.jsonl").read_text()
    comparison = Comparison(path, **grid)
    assert comparison.finished == ["dsr-0.9-uniform-seed1"]
    seen = []
    comparison.run(seen.append)
    assert seen == [
        "static-0.9-uniform-seed1",
        "static-0.9-uniform-seed2",
        "dsr-0.9-uniform-seed2",
    ]
    assert (path / "dsr-0.9-uniform-seed1" / "metrics.jsonl").read_text() == kept
    assert len(results(path)) == 13


def test_an_unfinished_run_is_continued(finished, tmp_path):
    class KilledError(Exception):
        pass

    def kill(row):
        if row["epoch"] == 2:
            raise KilledError

    name = "dsr-0.9-uniform-seed0"
    config = RunConfig(sparsity=0.9, epochs=2, options={"period": 5})
    (tmp_path / "grid").mkdir()
    grid = {**GRID, "methods": ("dsr",), "seeds": (0,), "sparsity": (0.9,)}
    grid |= {"distribution": ("uniform",), "jobs": 1}
    Comparison(tmp_path / "grid", **grid).start()
    with pytest.raises(KilledError):
        run(config, tmp_path / "grid" / name, checkpoint_every=1, progress=kill)
    first = (tmp_path / "grid" / name / "metrics.jsonl").read_text().splitlines()[0]
    assert Comparison(tmp_path / "grid", **grid).run() == {}
    rows = [(path / name / "metrics.jsonl").read_text() for path in (tmp_path / "grid", finished)]
    assert rows[0].splitlines()[0] == first  # with its seconds: epoch 1 was not run again
    last = [json.loads(text.splitlines()[1]) for text in rows]
    assert last[0]["train_loss"] == last[1]["train_loss"]


def test_methods_without_random_masks_are_run_once_a_sparsity(tmp_path):
    grid = {**GRID, "methods": ("snip", "compressed"), "options": {}, "seeds": (0,), "jobs": 1}
    comparison = Comparison(tmp_path / "grid", **grid)
    assert list(comparison.runs) == [
        f"{method}-{sparsity}-seed0"
        for method in ("snip", "compressed")
        for sparsity in (0.9, 0.98)
    ]
    assert comparison.run() == {}
    table = results(tmp_path / "grid")
    assert [row["distribution"] for row in table] == ["uniform", "uniform", "saliency", "saliency"]
    assert [row["nonzeros"] for row in table] == ["5020", "1004"] * 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"epochs": 3}, "^epochs: expected 2, as the runs in"),
        ({"lr": 0.2}, "^lr: expected 0.1"),
        ({"l1": 0.0}, "^l1: expected 0.0001"),
        ({"options": {}}, r"^options\.dsr\.period: expected 5"),
    ],
)
def test_other_settings_are_refused(change, text, finished):
    with pytest.raises(ValueError, match=text):
        Comparison(finished, **{**GRID, **change})


def test_a_changed_run_is_refused(finished, tmp_path):
    path = tmp_path / "grid"
    shutil.copytree(finished, path)
    config = path / "dense-seed0" / "config.json"
    config.write_text(config.read_text().replace('"seed": 0', '"seed": 7'))
    with pytest.raises(ValueError, match=r"^out: .*dense-seed0 holds a run with other settings"):
        Comparison(path, **GRID)


def test_command_line(finished, tmp_path, capsys):
    path = tmp_path / "grid"
    shutil.copytree(finished, path)
    command = ["compare", "--out", str(path), "--methods", "dense,dsr", "--seeds", "0-1"]
    command += ["--epochs", "2", "-o", "dsr.period=5", "--sparsity", ".9,.98", "--jobs", "1"]
    before = results(path)
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "mean ± std, seeds each: 2" in text
    assert "erdos-renyi" in text  # runs of the earlier, larger grid are in the table too
    assert results(path) == before


def test_a_failing_run_is_named_and_the_others_go_on(finished, tmp_path, capsys):
    path = tmp_path / "grid"
    shutil.copytree(finished, path)
    broken = path / "dense-seed0"
    (broken / "summary.json").unlink()
    (path / "dense-seed1" / "summary.json").unlink()
    for file in broken.glob("checkpoints/*/tensors.safetensors"):
        file.write_bytes(b"")
    command = ["compare", "--out", str(path), "--methods", "dense", "--seeds", "0-1"]
    assert main([*command, "--epochs", "2", "--jobs", "1"]) == 1
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert err.startswith("dsr: 1 of 2 runs failed; dense-seed0: ")
    assert (path / "dense-seed1" / "summary.json").is_file()
    assert not (broken / "summary.json").exists()
