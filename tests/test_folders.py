from pathlib import Path

import pytest

from kmodels import folders
from kmodels.datasets import movielens

pytestmark = pytest.mark.first_backend
ROOT = Path(__file__).parents[1]


def test_recipes_and_samples_lie_next_to_the_package_in_a_clone():
    assert folders.bundled("recipes") == ROOT / "recipes"
    assert folders.bundled("data/pois-sample") == ROOT / "data" / "pois-sample"


def test_and_inside_the_package_of_a_wheel(monkeypatch, tmp_path):
    sample = tmp_path / "data" / "movielens-sample"
    sample.mkdir(parents=True)
    (sample / "users.dat").write_text("7::F::25::3::1\n")
    (sample / "movies.dat").write_text("9::A (1999)::Drama\n")
    (sample / "ratings.dat").write_text("7::9::4::8\n")
    monkeypatch.setattr(folders, "_IN_WHEEL", tmp_path)
    assert list(movielens.load("sample").ratings["user_id"]) == [7]


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path))
    assert folders.cache_folder() == tmp_path
    monkeypatch.delenv("KMODELS_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folders.cache_folder() == tmp_path / ".cache" / "kmodels"
