"""What is asked of a GPU, judged on named cases, and the tables of a GPU's results."""

import json

import pytest
import torch

from benchmarks import gpu, gpu_targets, gpu_text, markdown, tables
from benchmarks.case import KINDS
from benchmarks.registry import OPS
from benchmarks.report import COLUMNS
from benchmarks.shapes import NETS, Net

MACHINE = dict.fromkeys(markdown.MACHINE_KEYS, "x")


def row(provider, kind, graph="", called="100.0", net="resnet50", of_copy="0.5", sparsity="0.9"):
    values = {"net": net, "sparsity": sparsity, "dtype": "float32", "provider": provider}
    values |= {"kind": kind, "graph_us": graph, "median_us": called, "of_copy": of_copy}
    values |= {"no_graph": "" if graph or kind == "ours" else "waits for the device"}
    return dict.fromkeys(COLUMNS, "") | values | {"speedup": "1", "bytes": "1000000"}


STEP = [
    row("dsr (cuda)", "ours", "90.0"),
    row("dsr (triton)", "ours", "80.0", "120.0"),
    row("masks, nonzero + randperm", "eager", "", "1800.0"),
    row("hardshrink, rejection, one buffer", "eager", "", "1520.0"),
    row("torch.compile of masks, rejection", "compiled", "400.0", "900.0"),
    row("copy", "copy", "40.0", "60.0"),
    row("dsr (cuda)", "ours", "30.0", net="wrn-28-2"),
    # Appended later, as the sizes are: neither judges ResNet-50.
    row("dsr (cuda)", "ours", "9000.0", net="1e9"),
    row("dsr (cuda)", "ours", "500.0", sparsity="0.5"),
]


def outcomes(op, rows):
    return [gpu_targets.outcome(t, rows) for t in gpu_targets.TARGETS if t.op == op]


def test_a_target_is_judged_by_the_replay_on_the_named_case():
    assert outcomes("dsr_step", STEP) == [
        ("80 us", "**met**"),
        ("30 us", "**missed**"),
        ("19 of hardshrink, rejection, one buffer, which no graph can hold", "**missed**"),
        ("5 of torch.compile of masks, rejection", "**met**"),
    ]
    fraction = [row("dsr (cuda)", "ours", "200.0", net="1e8", of_copy="0.81")]
    fraction.append(row("copy", "copy", "190.0", net="1e8"))
    assert outcomes("prune_threshold_", fraction)[0] == ("0.81", "**met**")
    masks = [row("dsr (cuda)", "ours", "45.0"), row("masks", "eager", "440.0", "900.0")]
    assert outcomes("prune_threshold_", masks)[1:3] == [
        ("45 us", "**met**"),
        ("9.78", "**missed**"),
    ]


def test_what_is_not_measured_is_open():
    assert set(outcomes("dsr_step", [])) == {("", "open")}
    # A rival whose capture nobody tried: its calls against our replay would say nothing.
    untried = [{**r, "no_graph": ""} for r in STEP]
    assert outcomes("dsr_step", untried)[2] == ("", "open")
    alone = [row("dsr (cuda)", "ours", "200.0", net="1e8", of_copy="0.81")]
    alone.append(row("copy", "copy", net="1e8"))
    assert outcomes("prune_threshold_", alone)[0] == ("", "open")
    called = [row("dsr (cuda)", "ours"), row("masks", "eager")]
    assert set(outcomes("prune_threshold_", called)) == {("", "open")}
    text = gpu_targets.targets_text({})
    assert text.count("| open |") == len(text.splitlines()) - 2
    assert "| Table 3, DSR | ResNet-50 | at most 1.0001 of training without |  | open |" in text
    failed = row("masks", "eager", called="") | {"error": "RuntimeError: out of memory"}
    rows = [row("dsr (cuda)", "ours", "45.0"), failed]
    assert outcomes("prune_threshold_", rows)[2] == ("", "open")


@pytest.mark.parametrize("target", gpu_targets.TARGETS, ids=lambda target: target.words)
def test_every_target_names_what_is_measured(target, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    assert target.net in NETS
    assert target.field in ("graph_us", "of_copy", "times")
    case = OPS[target.op].build(Net("tiny", (400,), (40,), moved=6), 0.9, torch.device("cpu"))
    names = {name for provider in case.providers for name in (provider.name, provider.kind)}
    assert target.against in names | {""}
    assert (target.field == "times") == bool(target.against)


def test_table_3_is_judged_by_its_interval_too():
    values = {"net": "wrn-28-2", "method": "dsr", "implementation": "ours", "error": ""}
    values |= {"overhead": "0.00009", "ratio": "1.002", "ratio_low": "1.0005", "ratio_high": "1.1"}
    text = gpu_targets.targets_text({}, [values])
    assert "| at most 1.0001 of training without | 1.00009 | **met** |" in text
    assert "contains 1.001 or lies below | 1.00200 [1.00050, 1.10000] | **met** |" in text
    above = values | {"overhead": "0.0003", "ratio_low": "1.0011"}
    assert gpu_targets.targets_text({}, [above]).count("**missed**") == 2


def write(folder, name, rows):
    lines = [",".join(COLUMNS), *(",".join(f'"{r[c]}"' for c in COLUMNS) for r in rows)]
    (folder / name).write_text("\n".join(lines) + "\n")


def test_a_gpus_tables_show_replays_and_calls_beside_each_other(tmp_path):
    folder = tmp_path / "some-gpu"
    folder.mkdir()
    (folder / "machine.json").write_text(json.dumps(MACHINE))
    write(folder, "dsr_step.csv", STEP)
    made = {name: make() for name, make in tables.contents(tmp_path).items() if "gpu" in name}
    step = made["gpu dsr_step"]
    assert "| WRN-28-2 | ResNet-50 |" in step
    assert "1e9" not in step
    assert "| **dsr (triton)** |  | 80 us / 120 us |" in step
    assert "400 us / 900 us (5x / 9x) |" in step
    assert "| - / 1.52 ms (- / 15.2x) |" in step
    assert "has not been measured on this one" in made["gpu pack"]
    assert (
        "| `dsr_step` | **dsr (triton)** | 80 us / 120 us | 19x | 5x |  | 0.5 |"
        in (made["gpu summary"])
    )
    assert "| 80 us | **met** |" in made["gpu targets"]
    assert "**some-gpu**" in made["gpu losses"]


def test_an_old_file_without_the_newer_columns_is_read(tmp_path):
    old = [{k: v for k, v in r.items() if k not in ("graph_us", "dtype")} for r in STEP[:4]]
    assert "| - / 100 us |" in gpu_text.gpu_op_text("dsr_step", old)
    assert "5.06" not in gpu_text.gpu_summary_text({"dsr_step": old})
    assert gpu_targets.outcome(gpu_targets.TARGETS[0], old) == ("", "open")


def test_the_benchmark_ends_with_what_was_asked(tmp_path):
    write(tmp_path, "dsr_step.csv", STEP)
    text = gpu.asked(tmp_path)
    assert "| 80 us | **met** |" in text
    assert (tmp_path / "targets.md").read_text() == f"{text}\n"


def test_every_kind_of_rival_can_be_fastest():
    for kind in KINDS:
        assert gpu_targets.best([row("a", kind, "", "5.0")], kind)["provider"] == "a"
