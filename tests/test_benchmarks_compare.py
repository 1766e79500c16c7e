"""Two folders of results are compared ratio by ratio."""

import pytest

from benchmarks import compare, report
from benchmarks.table3 import __main__ as table3


def write(folder, *speedups, ratio=(1.0, 0.999, 1.001)):
    folder.mkdir()
    row = {"op": "dsr_step", "net": "resnet50", "sparsity": "0.9", "dtype": "float32"}
    names = ("speedup", "speedup_low", "speedup_high")
    rows = [
        row | {"provider": f"way {i}", "kind": "eager"} | dict(zip(names, values, strict=True))
        for i, values in enumerate(speedups)
    ]
    report.write_csv([*rows, row | {"provider": "dsr", "kind": "ours"}], folder)
    one = {"net": "resnet50", "method": "dsr", "implementation": "ours"}
    table3._write(
        [one | dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True))], folder
    )
    return folder


def test_ratios_agree_where_their_intervals_overlap(tmp_path, capsys):
    old = write(tmp_path / "old", (5, 4, 6), (9, 8, 10), (2, 1, 3))
    new = write(tmp_path / "new", (6.5, 5.5, 7), (12, 11, 13), ratio=(1.0002, 0.998, 1.002))
    assert compare.main([str(old), str(new)]) == 1
    out = capsys.readouterr().out
    assert (
        "| dsr_step, resnet50, 0.9, float32, way 0, called | 5 [4, 6] | 6.5 [5.5, 7] | yes |" in out
    )
    assert "way 1, called | 9 [8, 10] | 12 [11, 13] | **no** |" in out
    assert "| table3, resnet50, dsr, ours | 1.0000 [0.9990, 1.0010] |" in out
    assert "2 of 3 agree; 1 in one only" in out
    assert compare.main([str(old), str(old)]) == 0


@pytest.mark.parametrize(
    "text", ["op,net\n", "op,net,sparsity,dtype,provider,kind,speedup\n", None]
)
def test_results_without_intervals_give_one_line_and_exit_code_2(text, tmp_path, capsys):
    if text is not None:
        (tmp_path / "dsr_step.csv").write_text(text)
    with pytest.raises(SystemExit) as exit_:
        compare.main([str(tmp_path), str(tmp_path)])
    error = capsys.readouterr().err
    assert exit_.value.code == 2
    assert ("expected a column" if text else "no ratio") in error
    assert error.count("\n") == 1
