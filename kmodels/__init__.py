"""kmodels: Keras 3 models, pipelines and honest evaluation that run unchanged on TensorFlow, JAX and PyTorch."""

__version__ = "0.1.0"
