import numpy as np
import pandas as pd
import pytest

from kmodels.datasets.parquet import ParquetTable

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def scripts(import_scripts):
    return import_scripts("generate_movielens", "streaming")


@pytest.fixture(scope="module")
def folder(scripts, tmp_path_factory):
    path = tmp_path_factory.mktemp("ml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts[0], "FILE_ROWS", 5000)
        patch.setattr(scripts[0], "GROUP_ROWS", 1000)
        scripts[0].write_parquet_like(path, users=300, movies=200, ratings=12_000)
    return path


def test_the_files_hold_the_ratings_of_the_other_formats(scripts, folder, tmp_path):
    scripts[0].write_csv_like(tmp_path, users=300, movies=200, ratings=12_000)
    table, other = ParquetTable(folder), pd.read_csv(tmp_path / "ratings.csv")
    assert [group.rows for group in table.groups] == [1000] * 12
    frame = pd.concat([table.read(group) for group in range(12)])
    assert [str(dtype) for dtype in frame.dtypes] == ["int32", "int64", "float32", "float32"]
    np.testing.assert_array_equal(frame[["user_id", "item_id", "rating"]], other[["userId", "movieId", "rating"]])
    np.testing.assert_array_equal(frame["expected"], np.load(tmp_path / "expected.npy"))


def test_both_sides_train_on_the_same_rows_and_stay_above_the_floor(scripts, folder):
    _, streaming = scripts
    streamed, held = (streaming.evaluate(folder, side, 1, 256) for side in (streaming.STREAMED, streaming.HELD))
    lowest = streaming.floor(folder)["rmse"]
    assert streamed["train_rows"] == held["train_rows"]
    assert streamed["biases"] == held["biases"] > lowest
    assert streamed["rmse"] == pytest.approx(held["rmse"], rel=0.02)
    assert streamed["rmse"] > lowest
    line = streaming.line("streamed", streamed | {"peak_rss_mib": 900.4}, lowest).split()
    assert line[0] == "streamed"
    assert line[5:7] == ["900", f"{streamed['rmse']:.4f}"]


def test_a_process_that_dies_is_a_line(scripts):
    assert scripts[1].line("streamed", {"exit": -9, "peak_rss_mib": 4096.0}, 0.8) == (
        "streamed  exit code -9, peak memory 4,096 MiB"
    )
