import numpy as np
import pandas as pd
import pytest

from kmodels.report import fashion_mnist, run_folder

FIGURES = {"accuracy": 0.5, "macro_f1": 0.5, "log_loss": 1.25, "roc_auc": 0.7, "ece": 0.1}
NAMES = ("Shirt", "Coat", "Bag")


class Model:
    def summary(self, print_fn, line_length):
        print_fn("the layers of it")


def variant(name, parameters, warnings=()):
    return {
        "model": {"name": f"fashion_{name}", "parameters": parameters},
        **{part: dict(FIGURES) for part in ("test", "validation", "train")},
        "timing": {"load_s": 1, "prepare_s": 1, "fit_s": 9.0, "epochs": 2, "samples_per_s": 10, "evaluate_s": 1},
        "cost": {"s_per_epoch": 4.5, "latency_ms": 1.75, "file_kib": 96.0},
        "warnings": list(warnings),
    }


@pytest.fixture
def record():
    said = "small predicts 'Coat' for 99.5 % of the rows: it has learned nothing."
    return {
        "recipe": "fashion_mnist",
        "backend": "jax",
        "data": {
            "source": "folder",
            "rows": 90,
            "train_rows": 60,
            "test_rows": 30,
            "sha256": "0" * 64,
            "split": {"train": 54, "validation": 6, "test": 30},
            "floors": {},
        },
        "seed": 0,
        "variants": {"small": variant("small", 900, [said]), "large": variant("large", 90_000)},
        "best": "large",
        "choice": "large was chosen: for a reason.",
        "baselines": {"majority": {"accuracy": 0.25, "log_loss": 2.5}},
        "versions": {"keras": "3"},
    }


def test_the_summary_has_figures_and_costs_of_each(record):
    table = fashion_mnist.summary(record)
    assert table.index.tolist() == ["small", "large", "majority"]
    assert table.loc["large", ["test log-loss", "train accuracy", "parameters"]].tolist() == [1.25, 0.5, 90_000]
    assert table.loc["large", "time of one prediction (ms)"] == 1.75
    assert table.loc["majority"].dropna().to_dict() == {"test accuracy": 0.25, "test log-loss": 2.5}


def test_choice_and_warnings_are_said_on_the_terminal(record):
    lines = fashion_mnist.text(record).splitlines()
    assert lines[-2] == "large was chosen: for a reason."
    assert lines[-1].startswith("warning: small predicts 'Coat' for 99.5 %")


@pytest.mark.parametrize("floors", [{}, {"ceiling": 0.93}])
def test_page_card_and_pictures(record, tmp_path, floors):
    rng = np.random.default_rng(0)
    record["data"]["floors"] = floors
    epochs = pd.DataFrame({"epoch": [1, 2], "seconds": 4.5})
    epochs[["loss", "val_loss", "accuracy", "val_accuracy"]] = rng.random((2, 4))
    run_folder.open_run(tmp_path / "run", {"epochs": 2}, resume=False)
    share, labels = rng.dirichlet([1, 1, 1], 30), np.arange(30) % 3
    images = rng.integers(0, 255, (30, 28, 28, 1), np.uint8)
    both = {"small": Model(), "large": Model()}
    histories = dict.fromkeys(both, epochs)
    fashion_mnist.write(tmp_path / "run", record, both, histories, images, labels, share, NAMES, command="run me")
    drawn = {path.stem for path in (tmp_path / "run" / "plots").glob("*.png")}
    assert {"variants", "pareto", "time_and_size", "accuracy_curves", "loss_curves", "confusion", "hardest"} <= drawn
    page = (tmp_path / "run" / "report.html").read_text()
    assert "54 pictures" in page
    assert "6 validation pictures" in page
    assert "it has learned nothing" in page
    assert "run me" in page
    card = (tmp_path / "run" / "MODEL_CARD.md").read_text()
    assert "the variant `large` of 2" in card
    assert "Shirt, Coat, Bag" in card
