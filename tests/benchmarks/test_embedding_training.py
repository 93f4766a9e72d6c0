import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "embedding_training.py"


def test_our_side_trains():
    script = runpy.run_path(str(SCRIPT))
    assert len(script["keras_seconds"](1024, 512, 2)) == 2


def test_the_loop_by_hand_trains_a_network_of_the_same_size():
    torch = pytest.importorskip("torch")
    script = runpy.run_path(str(SCRIPT))
    sizes = []
    fused = torch.optim.Adam

    def adam(groups, **settings):
        sizes.append(sum(weight.numel() for group in groups for weight in group["params"]))
        assert settings.pop("fused")
        return fused(groups, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "Adam", adam)
        assert len(script["torch_seconds"](1024, 512, 2)) == 2

    from kmodels.features import Categorical
    from kmodels.models.embedding import Embedded, embedding_regressor

    model = embedding_regressor(
        [Categorical(name, size) for name, size in script["COLUMNS"].items()],
        embeddings=[Embedded(Categorical(name, size)) for name, size in script["IDS"].items()],
        dim=script["DIM"],
        hidden=script["HIDDEN"],
    )
    assert sizes == [model.count_params()]


def test_it_prints_samples_per_second_and_ratios(monkeypatch, capsys):
    script = runpy.run_path(str(SCRIPT))

    def child(command, **_):
        by_hand = command[command.index("--child") + 1] == "torch"
        return type("Done", (), {"stdout": "[9.0, 2.0]" if by_hand else "[9.0, 1.0]"})

    monkeypatch.setattr(script["subprocess"], "run", child)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--rows", "1000", "--batch-size", "300", "--backends", "jax"])
    script["main"]()
    printed = capsys.readouterr().out
    assert "PyTorch by hand              450    1.00" in printed
    assert "kmodels, jax                 900    2.00" in printed
