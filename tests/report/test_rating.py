import numpy as np
import pandas as pd
from PIL import Image

from kmodels.report import rating


def test_six_pictures_are_drawn_from_a_records_figures(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "plots").mkdir()
    true = rng.integers(1, 6, 300).astype(float)
    per_user = {
        name: pd.DataFrame({"ndcg_at_10": rng.uniform(0.5, 1, 40), "n_items": rng.integers(3, 20, 40)})
        for name in ("model", "biases")
    }
    record = {
        "model": {"name": "neumf"},
        "test": {"rmse": 0.9},
        "baselines": {"biases": {"rmse": 0.95}, "popularity": {"catalogue_ndcg_at_10": 0.1}},
    }
    history = pd.DataFrame(
        {
            "epoch": [1, 2],
            "loss": [9.0, 8.0],
            "val_loss": [9.0, 8.0],
            "rmse": [0.3, 0.2],
            "val_rmse": [0.25, 0.24],
            "learning_rate": [1e-3, 1e-3],
            "seconds": [1.0, 1.0],
        }
    )
    pictures = rating.draw(tmp_path, record, history, true, true + 0.1, per_user, baseline="biases")
    assert [picture.path.stem for picture in pictures] == ["rmse", "loss", "scatter", "errors", "residuals", "users"]
    for picture in pictures:
        assert picture.title
        assert picture.caption
        pixels = np.asarray(Image.open(picture.path).convert("L"))
        assert pixels.std() > 5, picture.path.stem  # not a blank page
