"""Published and tuned networks as settings of the builders, by name: `models.cnn(**presets.CNN["deep"])`.

What a preset names can be replaced: `models.cnn(**presets.CNN["deep"] | {"classes": 5})`. The comments give the
trainable parameters.
"""

from typing import Any

__all__ = ["CNN", "DENSE", "FUSION", "MATRIX_FACTORIZATION", "NEUMF", "RESNET"]

Presets = dict[str, dict[str, Any]]

_FASHION = {"input_shape": (28, 28, 1), "classes": 10}
_RESIDUAL = {"depth": 2, "shortcut": True}
_FLAT = {"flatten": True, "dropout": 0.3}

#: Of `models.cnn`, for the 28 × 28 grey pictures and 10 classes of Fashion-MNIST, from the smallest to the largest.
CNN: Presets = {
    # 11,378 parameters, 0.35 million multiplications a picture
    "narrow": {**_FASHION, "stages": ({"filters": 8}, {"filters": 20}), "flatten": True, "name": "fashion_narrow"},
    # 50,282 parameters, 3.9 million multiplications
    "base": {**_FASHION, "stages": ({"filters": 32}, {"filters": 64}), **_FLAT, "name": "fashion_base"},
    # 83,562 parameters, 10.7 million multiplications
    "large_kernel": {
        **_FASHION,
        "stages": ({"filters": 32, "kernel": 5}, {"filters": 64, "kernel": 5}),
        **_FLAT,
        "name": "fashion_large_kernel",
    },
    # 97,594 parameters, 16.8 million multiplications: the most accurate below 100,000
    "deep": {
        **_FASHION,
        "stages": ({"filters": 32, **_RESIDUAL}, {"filters": 48, **_RESIDUAL}, {"filters": 56, **_RESIDUAL, "pool": 1}),
        "name": "fashion_deep",
    },
    # 267,258 parameters, 42.1 million multiplications: the most accurate below 300,000
    "residual": {
        **_FASHION,
        "stages": ({"filters": 48, **_RESIDUAL}, {"filters": 80, **_RESIDUAL}, {"filters": 96, **_RESIDUAL, "pool": 1}),
        "dropout": 0.2,
        "name": "fashion_residual",
    },
    # 878,922 parameters, 15.7 million multiplications; nine tenths of them in the dense layer
    "wide": {
        **_FASHION,
        "stages": ({"filters": 64}, {"filters": 128}),
        "flatten": True,
        "hidden": (128,),
        "dropout": 0.4,
        "name": "fashion_wide",
    },
}

_TANH = {"units": 128, "activation": "tanh"}

#: Of `models.dense_classifier`; the first three are published for the profit of films. Parameters at 26 numbers and 2
#: classes.
DENSE: Presets = {
    # 40,002 parameters
    "batchnorm": {"hidden": (64, 128, 128, 64, 64), "batch_norm": True, "name": "profit_batchnorm"},
    # 151,938 parameters; below 0 a leaky unit has Keras's slope of 0.2
    "dropout": {
        "hidden": (128, 256, 256, _TANH, {**_TANH, "dropout": 0}),
        "activation": "leaky_relu",
        "dropout": 0.2,
        "name": "profit_dropout",
    },
    # 3,106 parameters
    "l2": {"hidden": (32, 64), "l2": 0.01, "output_l2": 0.0, "name": "profit_l2"},
    # 1,962 parameters: for a few thousand rows, from which the linear part learns the sum of effects
    "wide_and_deep": {
        "hidden": (64,),
        "activation": "gelu",
        "dropout": 0.5,
        "l2": 0.002,
        "linear": True,
        "squares": True,
        "name": "profit_wide_and_deep",
    },
}

#: Of `models.fusion_classifier`, with its dropout of 0.3; all but the first are published. Parameters at 22 columns and
#: 3 classes, the statistics of batch normalisation not counted.
FUSION: Presets = {
    # 62,675 parameters: for few pictures and no pretrained weights. Each source adds to the logits on its own, as
    # Bayes' rule adds up two that are independent given the class. In training 30 % of the pictures are left out:
    # else a network that soon knows the training pictures learns little from the metadata (Neverova et al., "ModDrop",
    # 2016).
    "compact": {
        "backbone": "compact",
        "metadata_hidden": (32,),
        "head_hidden": (),
        "picture_dropout": 0.3,
        "name": "fusion_compact",
    },
    "base": {"backbone": "resnet18", "metadata_hidden": (64, 32), "head_hidden": (128, 64), "name": "fusion_base"},
    "deep": {
        "backbone": "resnet50",
        "metadata_hidden": (128, 64, 32),
        "head_hidden": (128, 64, 32),
        "name": "fusion_deep",
    },
    "mix": {"backbone": "resnet50", "metadata_hidden": (32,), "head_hidden": (64, 32), "name": "fusion_mix"},
    # 11,214,995 parameters
    "final": {
        "backbone": "resnet18",
        "metadata_hidden": (64, 32, 16),
        "head_hidden": (64,),
        "metadata_dropout": 0.4,
        "name": "fusion_final",
    },
}

#: Of `models.matrix_factorization`. Parameters at 5,000 users × 2,000 items, each with the row of unknown ids.
MATRIX_FACTORIZATION: Presets = {
    "a_small": {"dim": 8, "hidden": (16,), "activation": "relu", "name": "mf_a_small"},  # 63,443
    "b_medium": {"dim": 16, "hidden": (32, 16), "activation": "relu", "name": "mf_b_medium"},  # 121,163
    "c_wide": {"dim": 32, "hidden": (64, 32), "activation": "tanh", "name": "mf_c_wide"},  # 239,419
}

_TWO_SIDED = {
    "dim": 32,
    "histories": True,
    "product": True,
    "biases": True,
    "hidden": (32,),
    "dropout": 0.3,
    "vector_dropout": 0.2,
    "stddev": 0.02,
    "l2": 1e-4,
}

#: Of `models.neumf`, for ratings divided by their highest value, but for the first.
NEUMF: Presets = {
    # NeuMF of 2017 with 8 predictive factors (He et al.): 235,689 parameters at 6,040 × 3,706 and the rows of unknown
    # ids. Its output is a logit: train it by binary cross-entropy on `pipelines.NegativeSampling`.
    "published": {"dim": 16, "gmf_dim": 8, "hidden": (32, 16, 8), "stddev": 0.01, "name": "neumf_published"},
    # NeuMF-Enhanced, published for MovieLens-1M: 326,193 parameters at 6,040 × 3,416 with three numbers of the user
    # and 18 labels of the item. Tables and kernels start as torch's do; the penalty has the gradient of torch's
    # weight_decay=1e-5.
    "enhanced": {
        "dim": 32,
        "user_side_dim": 32,
        "item_side_dim": 16,
        "hidden": (128, 64),
        "batch_norm": True,
        "dropout": 0.3,
        "stddev": 1.0,
        "initializer": {
            "class_name": "VarianceScaling",
            "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
        },
        "l2": 5e-6,
        "name": "neumf_enhanced",
    },
    # SVD++ on both sides, and a heavily regularised MLP on (p, q, p ⊙ q). In training a row's own rating must be left
    # out of both histories, as `pipelines.Histories` does.
    "history": {**_TWO_SIDED, "name": "neumf_history"},
    # The same without histories: ids alone, of which each rating is an input of its own, as a stream has them.
    "factors": {**_TWO_SIDED, "histories": False, "name": "neumf_factors"},
    # With histories and a context feature: by how much the user's ratings shortly before exceed the expected ones.
    "session": {**_TWO_SIDED, "name": "neumf_session"},
}

#: Of `models.resnet`, by the number of layers (He et al. 2016). Parameters with ImageNet's 1,000 classes.
RESNET: dict[int, dict[str, Any]] = {
    18: {"depths": (2, 2, 2, 2), "bottleneck": False, "name": "resnet18"},  # 11,689,512; 512 features
    34: {"depths": (3, 4, 6, 3), "bottleneck": False, "name": "resnet34"},  # 21,797,672; 512 features
    50: {"depths": (3, 4, 6, 3), "bottleneck": True, "name": "resnet50"},  # 25,557,032; 2,048 features
}
