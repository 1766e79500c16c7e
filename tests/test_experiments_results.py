"""The committed results: the document shows them, and the grids name each run once."""

import re

import pandas as pd
import pytest

from benchmarks.experiments.grids import GRIDS
from benchmarks.experiments.picture import draw, summary
from benchmarks.experiments.tables import DOCUMENT, RESULTS, filled


def test_the_document_shows_the_results():
    text = DOCUMENT.read_text()
    assert filled(text) == text
    for name in GRIDS:
        assert f"`NAME`: `{name}`" in text
        assert f"<!-- {name}.csv -->" in text


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_has_each_run_once_and_its_table_has_a_row_for_each(name, tmp_path):
    cells = GRIDS[name](tmp_path / name)
    folders = [cell.folder for cell in cells]
    assert len(set(folders)) == len(folders)
    assert all(re.fullmatch(r"[\w.-]+", folder) for folder in folders)
    frame = pd.read_csv(RESULTS / f"{name}.csv")
    assert len(frame) == len(cells)
    for cell, row in zip(cells, frame.iloc, strict=True):
        assert row["seed"] == cell.config.seed
        assert {key: str(row[key]) for key in cell.keys} == {
            k: str(v) for k, v in cell.keys.items()
        }


def test_a_table_has_mean_and_deviation_of_its_seeds(tmp_path):
    rows = [("a", 0, 0.5), ("a", 1, 0.7), ("b", 0, 1.0)]
    frame = pd.DataFrame(rows, columns=["method", "seed", "test_accuracy"]).assign(
        nonzeros=1, explored=0.25
    )
    first = summary(frame).iloc[0]
    assert (first["mean"], first["explored"], first["seeds"]) == (60, 25, 2)
    assert first["std"] == pytest.approx(14.142, abs=1e-3)
    draw(frame, "title", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
