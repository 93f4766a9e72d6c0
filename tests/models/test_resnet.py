"""The networks against the same ones in plain torch, with torchvision's names and random weights."""

import importlib.util
import json
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from kmodels.errors import ConfigurationError
from kmodels.models import presets
from kmodels.models.resnet import resnet, torch_weights
from kmodels.pretrained import load_torchvision_weights

BUILDERS = {preset["name"]: partial(resnet, **preset) for preset in presets.RESNET.values()}
# As torchvision publishes them.
PARAMETERS = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}
RNG = np.random.default_rng(0)


def plain_torch_net(name):
    torch = pytest.importorskip("torch")
    path = Path(__file__).parents[2] / "benchmarks" / "torch_resnet.py"
    spec = importlib.util.spec_from_file_location("torch_resnet", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    net = module.ResNet(name).eval()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.5)
            part.running_mean.normal_(0, 0.5)
            part.running_var.uniform_(0.5, 2)
    return net


def write(state, path):
    import torch

    if path.suffix == ".pth":
        torch.save(state, path)
        return
    header, numbers, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, tensor in state.items():
        raw = tensor.numpy().tobytes()
        kind = {"float32": "F32", "int64": "I64"}[str(tensor.numpy().dtype)]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [at, at + len(raw)]}
        numbers.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(numbers))


@pytest.mark.first_backend
@pytest.mark.parametrize("name", BUILDERS)
def test_parameters_are_as_many_as_published(name):
    model = BUILDERS[name](input_shape=(64, 64, 3))
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "suffix"), [("resnet18", ".pth"), ("resnet34", ".safetensors"), ("resnet50", ".pth")])
def test_every_stage_and_the_logits_equal_torch(name, suffix, tmp_path):
    net = plain_torch_net(name)
    import torch

    seen = {}
    stages = ["relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc"]
    for stage in stages:
        module = getattr(net, stage)
        module.register_forward_hook(lambda module, args, out, stage=stage: seen.update({stage: out.numpy()}))
    pictures = RNG.normal(size=(2, 64, 64, 3)).astype("float32")
    with torch.no_grad():
        net(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()))
    write(net.state_dict(), tmp_path / f"weights{suffix}")

    model = BUILDERS[name](input_shape=(64, 64, 3))
    load_torchvision_weights(model, tmp_path / f"weights{suffix}")
    # A block's output bears the block's name: the stage's is that of its last block.
    last = {stage: f"{stage}_{len(getattr(net, stage)) - 1}" for stage in stages if stage.startswith("layer")}
    outputs = [model.get_layer(last.get(stage, stage)).output for stage in stages]
    got = keras.Model(model.input, outputs)(pictures, training=False)
    for stage, ours in zip(stages, got, strict=True):
        theirs = seen[stage]
        if theirs.ndim == 4:
            theirs = theirs.transpose(0, 2, 3, 1)
        ours = keras.ops.convert_to_numpy(ours).reshape(theirs.shape)
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max(), stage


@pytest.mark.first_backend
@pytest.mark.parametrize("name", BUILDERS)
def test_weights_are_named_and_ordered_as_in_torch(name):
    net = plain_torch_net(name)
    weights = torch_weights(BUILDERS[name](input_shape=(64, 64, 3)))
    assert list(weights) == [key for key in net.state_dict() if not key.endswith("num_batches_tracked")]
    ours = [name for name, variable in weights.items() if variable.trainable]
    assert ours == [name for name, _ in net.named_parameters()]


def test_a_model_without_a_resnet_has_no_such_weights():
    x = keras.Input((3,))
    with pytest.raises(ConfigurationError, match="the model has no ResNet of kmodels"):
        torch_weights(keras.Model(x, keras.layers.Dense(2)(x), name="dense"))


@pytest.mark.first_backend
def test_without_top_the_features_are_pooled_as_asked():
    pictures = RNG.normal(size=(2, 64, 96, 3)).astype("float32")
    bare = BUILDERS["resnet18"](include_top=False)
    weights = bare.get_weights()
    features = keras.ops.convert_to_numpy(bare(pictures))
    assert features.shape == (2, 2, 3, 512)
    for pooling, expected in (("avg", features.mean(axis=(1, 2))), ("max", features.max(axis=(1, 2)))):
        model = BUILDERS["resnet18"](include_top=False, pooling=pooling, input_shape=(64, 96, 3))
        model.set_weights(weights)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(model(pictures)), expected, rtol=1e-5, atol=1e-5)


def test_it_can_be_built_on_a_tensor():
    x = keras.Input((64, 64, 1), dtype="uint8", name="grey")
    model = BUILDERS["resnet18"](input_tensor=keras.layers.Rescaling(1 / 255)(x), classes=7)
    assert [tensor.name for tensor in model.inputs] == ["grey"]
    assert model.inputs[0].dtype == "uint8"
    assert model.output_shape == (None, 7)


def test_networks_are_functional_and_made_of_kerass_own_layers():
    model = BUILDERS["resnet50"](include_top=False)
    assert type(model) is keras.src.models.functional.Functional
    assert not model.compiled
    assert not any("." in layer.name for layer in model.layers)
    assert {type(layer).__name__ for layer in model.layers} == {
        *("InputLayer", "ZeroPadding2D", "Conv2D", "BatchNormalization", "Activation", "MaxPooling2D", "Add")
    }


def test_every_parameter_receives_a_gradient(backend_name):
    if backend_name == "jax":
        pytest.skip("compiling the step takes half a minute; the graph is the same")
    model = BUILDERS["resnet18"](input_shape=(32, 32, 3), classes=3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=True)  # one step is not worth a compilation
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]
    model.train_on_batch(RNG.normal(size=(8, 32, 32, 3)).astype("float32"), np.arange(8) % 3)
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert np.abs(keras.ops.convert_to_numpy(weight) - old).max() > 1e-6, weight.path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "mean"}, "pooling must be None, 'avg' or 'max'. Received: pooling='mean'"),
        ({"classes": 0}, "classes must be at least 1. Received: classes=0"),
        ({"input_tensor": keras.Input((8, 8, 3)), "input_shape": (8, 8, 3)}, "input_tensor has a shape already"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        BUILDERS["resnet18"](**arguments)
