"""Tables in Markdown come from CSV files and stand between markers."""

import csv
import runpy
from pathlib import Path

import pytest
import torch

from benchmarks import choose, markdown, tables
from dsr_kernels import dispatch

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs/results.md"
PAGES = (DOCS, ROOT / "docs/masked-products.md", ROOT / "README.md")
FIELDS = (
    "net",
    "sparsity",
    "provider",
    "kind",
    "median_us",
    "speedup",
    "bytes",
    "of_copy",
    "error",
)


def rows(*lines, net="resnet50"):
    return [dict(zip(FIELDS, (net, "0.9", *line), strict=True)) for line in lines]


PRUNE = rows(
    ("dsr (cpu)", "ours", "2000.0", "1.0", "120000000", "0.8", ""),
    ("authors' way", "authors", "2400000.0", "1200.0", "120000000", "0.001", ""),
    ("masks", "eager", "20000.0", "10.0", "120000000", "0.08", ""),
    ("hardshrink", "eager", "11000.0", "5.5", "120000000", "0.15", ""),
    ("torch.compile of masks", "compiled", "", "", "120000000", "", "RuntimeError: no compiler"),
    ("copy", "copy", "10000.0", "5.0", "200000000", "1.0", ""),
)


def test_the_docs_hold_the_committed_numbers():
    assert tables.main(["--check", *map(str, PAGES)]) == 0, "run python -m benchmarks.tables"


def test_every_op_has_its_table_in_the_docs():
    text = "".join(page.read_text() for page in PAGES)
    for name in tables.contents(tables.RESULTS):
        assert f"<!-- {name} -->" in text


def test_filling_is_idempotent_and_changes_nothing_else():
    text = "a\n<!-- one -->\nb\n<!-- other -->\nc\n<!-- two -->\nold\n<!-- /two -->\nd"
    names = {"one": lambda: "1", "two": lambda: r"\2"}
    once = tables.fill(text, names)
    assert once == (
        "a\n<!-- one -->\n1\n<!-- /one -->\nb\n<!-- other -->\nc\n"
        "<!-- two -->\n\\2\n<!-- /two -->\nd"
    )
    assert tables.fill(once, names) == once


def test_check_changes_nothing_and_fails_on_an_old_table(tmp_path, capsys):
    path = tmp_path / "page.md"
    path.write_text("<!-- digits -->\n")
    assert tables.main(["--check", str(path)]) == 1
    assert path.read_text() == "<!-- digits -->\n"
    assert tables.main([str(path)]) == 0
    assert "| erdos-renyi-kernel | 0.98 |" in path.read_text()
    assert tables.main(["--check", str(path)]) == 0
    assert str(path) in capsys.readouterr().out


def test_the_table_of_make_train_comes_from_its_csv(tmp_path):
    runs = tmp_path / "compare.csv"
    with runs.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "sparsity", "distribution", "seed", "test_accuracy"])
        writer.writerows([["dsr", 0.9, "uniform", 0, 0.5], ["dsr", 0.9, "uniform", 1, 0.52]])
    page = tmp_path / "page.md"
    page.write_text("<!-- make train -->")
    assert tables.main([str(page), "--train", str(runs)]) == 0
    filled = page.read_text()
    assert "| uniform | 0.9 | 51.0 ± 1.4 |" in filled
    assert tables.main([str(page)]) == 0
    assert page.read_text() == filled


def test_an_ops_table_names_times_limit_and_targets():
    text = markdown.op_text("prune_threshold_", PRUNE)
    assert "| **dsr (cpu)** | 2 ms |" in text
    assert "| authors' way | 2.4 s (1200x) |" in text
    assert "cannot run: RuntimeError: no compiler" in text
    assert "120 MB must move, 1.6 ms at the 20 GB/s of the copy; 0.8 of that speed" in text
    assert "6 times the fastest eager way, reached 5.5: **missed**" in text
    faster = [row | {"speedup": "6.1"} if row["kind"] == "eager" else row for row in PRUNE]
    assert "reached 6.1: **met**" in markdown.op_text("prune_threshold_", faster)


def test_the_summary_names_the_fastest_rival():
    text = markdown.summary_text({"prune_threshold_": PRUNE, "kth_magnitude": []})
    assert "| `prune_threshold_` | 2 ms | 5.5x, hardshrink | 1200x | 0.8 |" in text
    assert "kth_magnitude" not in text


def test_a_case_appended_later_does_not_judge():
    later = [line | {"net": "1e9", "speedup": "1"} for line in PRUNE]
    assert "Asked of it on ResNet-50: 6 times" in markdown.op_text(
        "prune_threshold_", PRUNE + later
    )
    assert markdown.summary_text({"prune_threshold_": PRUNE + later}) == markdown.summary_text(
        {"prune_threshold_": PRUNE}
    )
    swept = [line | {"sparsity": "0.5"} for line in PRUNE]
    assert markdown.op_text("prune_threshold_", PRUNE + later + swept) == markdown.op_text(
        "prune_threshold_", PRUNE
    )
    elsewhere = markdown.op_text("prune_threshold_", later)
    assert "Asked of it on 1e9" in elsewhere


def test_losses_are_named():
    lost = [
        row | {"speedup": "0.5", "median_us": "90"} if row["kind"] == "eager" else row
        for row in PRUNE
    ]
    assert markdown.losses_text({"prune_threshold_": PRUNE}) == "None."
    text = markdown.losses_text({"prune_threshold_": lost})
    assert text == "- `prune_threshold_` on ResNet-50: masks takes 90 us, ours 2 ms."


@pytest.mark.parametrize(
    "text",
    [
        markdown.op_text("prune_threshold_", []),
        markdown.summary_text({"prune_threshold_": []}),
        markdown.losses_text({"prune_threshold_": []}),
        markdown.accuracy_text([]),
        markdown.machine_text(Path("nowhere")),
    ],
)
def test_what_is_not_measured_says_so(text):
    assert text == markdown.NOT_MEASURED


def test_a_result_file_of_another_format_gives_one_line_and_exit_code_2(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/dsr_step.csv").write_text("op,seconds\ndsr_step,1\n")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert tables.main(["--check", str(DOCS)]) == 2
    error = capsys.readouterr().err
    assert "dsr_step.csv: expected a column 'net'" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ['{"commit": "1"}', "[]", "none"])
def test_a_machine_file_of_another_format_gives_one_line_and_exit_code_2(
    text, tmp_path, monkeypatch, capsys
):
    for folder in ("cpu", "some-gpu"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "machine.json").write_text(text)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert tables.main(["--check", str(DOCS)]) == 2
    with pytest.raises(SystemExit) as exit_:
        choose.main(["--results", str(tmp_path), "--table", str(tmp_path / "table.py")])
    assert exit_.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("machine.json: expected" in line for line in lines)
    assert not (tmp_path / "table.py").exists()


def test_results_that_nothing_can_be_chosen_from_give_one_line(tmp_path, capsys):
    (tmp_path / "some-gpu").mkdir()
    (tmp_path / "some-gpu/machine.json").write_text('{"device": "Some GPU"}')
    (tmp_path / "some-gpu/kth_magnitude.csv").write_text("net,provider\n")
    with pytest.raises(SystemExit) as exit_:
        choose.main(["--results", str(tmp_path), "--table", str(tmp_path / "table.py")])
    assert exit_.value.code == 2
    assert "kth_magnitude.csv: expected a column 'kind'" in capsys.readouterr().err


def test_the_faster_kernel_of_an_op_goes_into_the_backend_table(tmp_path, monkeypatch):
    folder = tmp_path / "some-gpu"
    folder.mkdir()
    (folder / "machine.json").write_text('{"device": "Some GPU"}')
    (folder / "kth_magnitude.csv").write_text(
        "net,provider,kind,graph_us,error\n"
        "lenet-300-100,dsr (cuda),ours,9,\n"
        "resnet50,dsr (cuda),ours,60,\nresnet50,dsr (triton),ours,40,\n"
    )
    table = tmp_path / "table.py"
    assert choose.main(["--results", str(tmp_path), "--table", str(table)]) == 0
    written = runpy.run_path(str(table))["FASTER"]
    assert written == {"Some GPU": {"kth_magnitude": ("triton", 1.5)}}
    monkeypatch.setattr(dispatch, "FASTER", written)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    device = torch.device("cuda", 0)
    assert dispatch._preferred("kth_magnitude", device)[:2] == ("triton", "cuda")
    assert dispatch._preferred("grow_random_", device)[:2] == ("cuda", "triton")
    assert "Some GPU: triton first, measured 1.50 times" in dispatch.explain("kth_magnitude")
    assert "unmeasured" in dispatch.explain("grow_random_")
