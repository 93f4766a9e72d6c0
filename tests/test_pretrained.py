import hashlib
import json

import keras
import numpy as np
import pytest

from kmodels import backend, pretrained
from kmodels.datasets import download
from kmodels.errors import ConfigurationError, DataError
from kmodels.models import presets, resnet
from kmodels.models.resnet import torch_weights
from kmodels.pretrained import freeze, load_torchvision_weights, read_safetensors
from tests.mutation import mutations


def safetensors(tensors, **replaced):
    """Bytes of a file with these arrays; `replaced` changes an entry of the header."""
    header, numbers = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        kind = {"float32": "F32", "float16": "F16", "int64": "I64", "uint16": "BF16"}[str(array.dtype)]
        offsets = [len(numbers), len(numbers) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets} | replaced
        numbers += array.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


@pytest.fixture(scope="module")
def model():
    """Two classes: what the tests change, each sets anew."""
    return resnet(**presets.RESNET[18], input_shape=(32, 32, 3), classes=2)


@pytest.fixture(scope="module")
def state(model):
    """Random tensors in torch's layout."""
    rng = np.random.default_rng(0)
    tensors = {}
    for name, variable in torch_weights(model).items():
        shape = tuple(variable.shape)
        shape = (shape[-1], shape[-2], *shape[:-2]) if len(shape) > 1 else shape
        tensors[name] = rng.uniform(size=shape).astype("float32")
        if name.endswith("running_var"):
            tensors[name.replace("running_var", "num_batches_tracked")] = np.array(3, "int64")
    return tensors


def fits(model, state):
    return all(
        np.array_equal(keras.ops.convert_to_numpy(variable), state[name].transpose(2, 3, 1, 0))
        if state[name].ndim == 4
        else np.array_equal(keras.ops.convert_to_numpy(variable), state[name].T)
        for name, variable in torch_weights(model).items()
    )


# --- files


def test_weights_come_from_safetensors(model, state, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(safetensors(state))
    load_torchvision_weights(model, tmp_path / "w.safetensors")
    assert fits(model, state)


def test_weights_come_from_torch_files(model, state, tmp_path):
    torch = pytest.importorskip("torch")
    other = {name: array[..., ::-1].copy() if array.ndim else array for name, array in state.items()}
    torch.save({name: torch.from_numpy(array) for name, array in other.items()}, tmp_path / "w.pth")
    load_torchvision_weights(model, str(tmp_path / "w.pth"))
    assert fits(model, other)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_come_from_checkpoints_of_a_training(model, state, tmp_path, prefix):
    torch = pytest.importorskip("torch")
    other = {name: array[..., ::-1].copy() if array.ndim else array for name, array in state.items()}
    tensors = {prefix + name: torch.from_numpy(array) for name, array in other.items()}
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "w.pth")
    load_torchvision_weights(model, tmp_path / "w.pth")
    assert fits(model, other)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_and_nothing_is_set(model, state, tmp_path, value):
    damaged = state["layer3.0.bn1.weight"].copy()
    damaged[5] = value
    (tmp_path / "w.safetensors").write_bytes(safetensors(state | {"layer3.0.bn1.weight": damaged}))
    before = model.get_weights()
    with pytest.raises(DataError, match=r"'layer3.0.bn1.weight' has missing or infinite values"):
        load_torchvision_weights(model, tmp_path / "w.safetensors")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_damaged_torch_files_are_refused_or_the_same(tmp_path):
    torch = pytest.importorskip("torch")
    arrays = {f"layer{i}": np.random.default_rng(i).normal(size=(20, 10)).astype("float32") for i in range(3)}
    path, refused = tmp_path / "w.pth", 0
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    for damaged in mutations(path.read_bytes(), 300):
        path.write_bytes(damaged)
        try:
            found = backend.read_torch_file(path)
        except DataError:
            refused += 1
            continue
        assert {name: array.tolist() for name, array in found.items()} == {n: a.tolist() for n, a in arrays.items()}
    assert refused > 150


def test_a_network_without_top_leaves_the_file_s_last_layer_out(state, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(safetensors(state))
    bare = resnet(**presets.RESNET[18], include_top=False, pooling="avg")
    larger = keras.Model(bare.input, keras.layers.Dense(3, name="logits")(bare.output))
    load_torchvision_weights(larger, tmp_path / "w.safetensors")
    assert fits(larger, state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"layer1.0.conv1.weight": (64, 64, 1, 1)},
            r"'layer1.0.conv1.weight' does not fit: weights of another network",
        ),
        ({"bn1.bias": None}, r"'bn1.bias' is missing: weights of another network; expected shape \(64,\)"),
        ({"fc.weight": (1000, 512)}, r"'fc.weight' does not fit: .* include_top=False; expected shape \(2, 512\)"),
        ({"layer1.2.conv1.weight": (64, 64, 3, 3)}, r"'layer1.2.conv1.weight' is not in the network"),
    ],
    ids=["shape", "missing", "classes", "extra"],
)
def test_weights_of_another_network_are_refused_by_the_first_tensor_and_nothing_is_set(
    model, state, tmp_path, change, message
):
    tensors = dict(state)
    for name, shape in change.items():
        tensors[name] = None if shape is None else np.zeros(shape, "float32")
    (tmp_path / "w.safetensors").write_bytes(safetensors({n: t for n, t in tensors.items() if t is not None}))
    before = model.get_weights()
    with pytest.raises(DataError, match=message):
        load_torchvision_weights(model, tmp_path / "w.safetensors")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_file_that_is_not_there_is_named(model, tmp_path):
    with pytest.raises(DataError, match=r"w.pth: there is no such file; expected 'imagenet' or a file of weights"):
        load_torchvision_weights(model, tmp_path / "w.pth")


def test_torch_files_with_anything_but_tensors_are_refused_and_not_executed(model, tmp_path):
    torch = pytest.importorskip("torch")
    ran = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return (ran.touch, ())

    torch.save({"conv1.weight": Hostile()}, tmp_path / "hostile.pth")
    torch.save({"model": {"conv1.weight": torch.zeros(1)}}, tmp_path / "nested.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name, message in (
        ("hostile", "torch cannot read the file as plain tensors"),
        ("nested", "the file holds something else than tensors; expected a state_dict"),
        ("text", "torch cannot read the file as plain tensors"),
    ):
        with pytest.raises(DataError, match=f"{name}.pth: {message}"):
            load_torchvision_weights(model, tmp_path / f"{name}.pth")
    assert not ran.exists()


def test_without_torch_the_error_says_what_to_do(model, tmp_path, monkeypatch):
    (tmp_path / "w.pth").touch()
    monkeypatch.setattr(backend.running.importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(ConfigurationError, match=r"needs torch: install it .* or use a .safetensors file"):
        load_torchvision_weights(model, tmp_path / "w.pth")


# --- safetensors


def test_safetensors_hold_every_kind_of_number(tmp_path):
    bits = np.array([1.5, -2.0], "float32").view("uint32")
    arrays = {
        "f": np.arange(6, dtype="float32").reshape(2, 3),
        "h": np.array([0.5, 2], "float16"),
        "n": np.array(7, "int64"),
        "b": (bits >> 16).astype("uint16"),
        "e": np.zeros((0, 3), "float32"),
    }
    (tmp_path / "x.safetensors").write_bytes(safetensors(arrays))
    got = read_safetensors(tmp_path / "x.safetensors")
    assert list(got) == list(arrays)
    for name in ("f", "h", "n", "e"):
        np.testing.assert_array_equal(got[name], arrays[name])
        assert got[name].dtype == arrays[name].dtype
    assert got["b"].tolist() == [1.5, -2.0]


def test_the_format_s_own_library_writes_what_is_read_here(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    arrays = {"a": np.arange(6, dtype="float32").reshape(2, 3), "b": np.array([1, 2], "int64")}
    library.save_file(arrays, tmp_path / "x.safetensors")
    got = read_safetensors(tmp_path / "x.safetensors")
    assert {name: array.tolist() for name, array in got.items()} == {n: a.tolist() for n, a in arrays.items()}


def with_header(text, numbers=b"\0" * 8):
    return len(text).to_bytes(8, "little") + text + numbers


WHOLE = safetensors({"x": np.zeros(2, "float32")})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        WHOLE[:-1],
        (2**63).to_bytes(8, "little") + WHOLE[8:],
        with_header(b"{"),
        with_header(b"[1, 2]"),
        with_header(b'{"x": 3}'),
        with_header(b'{"x": {"dtype": "F32", "shape": [2]}}'),
        with_header(b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        safetensors({"x": np.zeros(2, "float32")}, dtype="F4"),
        safetensors({"x": np.zeros(2, "float32")}, shape=[3]),
        safetensors({"x": np.zeros(2, "float32")}, shape=[-1, -2]),
        safetensors({"x": np.zeros(2, "float32")}, shape=["two"]),
        safetensors({"x": np.zeros(2, "float32")}, shape=[2**62, 2**62]),
        safetensors({"x": np.zeros(2, "float32")}, data_offsets=[-8, 0]),
        safetensors({"x": np.zeros(2, "float32")}, data_offsets=[8, 16]),
        safetensors({"x": np.zeros(2, "float32")}, data_offsets=[8, 0]),
        safetensors({"x": np.zeros(2, "float32")}, data_offsets=[0.0, 8.0]),
        safetensors({"x": np.zeros(2, "float32")}, data_offsets=None),
    ],
)
def test_damaged_and_hostile_files_are_refused(content, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x.safetensors: (not a whole safetensors file|the safetensors header is dam)"):
        read_safetensors(path)


# --- published files


def test_imagenet_downloads_the_network_s_own_file_once(model, state, tmp_path, monkeypatch, capsys):
    asked = []

    def fetch_file(url, target, checksum):
        asked.append((url, checksum))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        return target

    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "fetch_file", fetch_file)
    monkeypatch.setattr(backend, "read_torch_file", lambda path: state)
    for _ in range(2):
        load_torchvision_weights(model, "imagenet")
    assert asked[0] == ("https://download.pytorch.org/models/resnet18-f37072fd.pth", "sha256:f37072fd")
    assert fits(model, state)
    assert capsys.readouterr().err.count("https://image-net.org") == 1


def test_a_download_with_another_checksum_is_refused(model, tmp_path, monkeypatch):
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(b"not the weights")
    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrained, "BASE_URL", f"{tmp_path.as_uri()}/")
    digest = hashlib.sha256(b"not the weights").hexdigest()[:8]
    with pytest.raises(DataError, match=f"wrong sha256 checksum; expected f37072fd; received '{digest}'"):
        load_torchvision_weights(model, "imagenet")


@pytest.mark.parametrize(("name", "file"), [("resnet34", "b627a593"), ("resnet50", "0676ba61")])
def test_each_network_has_its_published_file(name, file, tmp_path, monkeypatch):
    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "fetch_file", lambda url, target, checksum: target)
    variables = torch_weights(resnet(**presets.RESNET[int(name[-2:])], include_top=False))
    assert pretrained._published(variables).name == f"{name}-{file}.pth"


# --- freezing


def small():
    return resnet(**presets.RESNET[18], input_shape=(32, 32, 3), classes=2)


def trained(model, backend_name):
    """Names of the tensors that a training step has moved."""
    weights = torch_weights(model)
    before = {name: keras.ops.convert_to_numpy(variable).copy() for name, variable in weights.items()}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=backend_name != "jax")
    model.train_on_batch(np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype("float32"), np.arange(8) % 2)
    return {name for name, v in weights.items() if np.abs(keras.ops.convert_to_numpy(v) - before[name]).max() > 0}


SEVEN = {
    *("conv1.weight", "bn1.weight", "bn1.bias"),
    *("layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer1.0.bn1.bias", "layer1.0.conv2.weight"),
}


def test_seven_frozen_tensors_stay_and_all_others_learn(backend_name, tmp_path):
    model = small()
    assert set(freeze(model, 7)) == SEVEN
    statistics = {f"{bn}.{what}" for bn in ("bn1", "layer1.0.bn1") for what in ("running_mean", "running_var")}
    # Frozen batch normalisation runs in inference mode: its statistics stay too.
    assert trained(model, backend_name) == set(torch_weights(model)) - SEVEN - statistics
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    assert len(again.trainable_weights) == len(model.trainable_weights) == 62 - 7


def test_a_batch_normalisation_cut_in_two_keeps_the_rest_of_it_in_training():
    model = small()
    assert freeze(model, 5)[-1] == "layer1.0.bn1.weight"
    layer = model.get_layer("layer1_0_bn1")
    assert layer.trainable
    assert [weight.name for weight in layer.trainable_weights] == ["beta"]
    assert len(model.trainable_weights) == 62 - 5


@pytest.mark.parametrize("n", range(0, 63))
def test_any_number_of_tensors_can_be_frozen(n, request):
    model = request.getfixturevalue("model")
    for layer in model.layers:
        layer.trainable = True
    for variable in torch_weights(model).values():
        variable.trainable = "moving" not in variable.name
    freeze(model, n)
    assert len(model.trainable_weights) == 62 - n


@pytest.mark.parametrize("n", [-1, 63])
def test_more_tensors_than_there_are_cannot_be_frozen(model, n):
    with pytest.raises(ConfigurationError, match=f"the network has 62 parameter tensors. Received: n_parameters={n}"):
        freeze(model, n)
