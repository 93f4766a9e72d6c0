"""The only room that knows which Keras backend runs; internal, described in docs/architecture.md."""

from kmodels.backend.adam import fuse_adam
from kmodels.backend.dropout import fuse_dropout
from kmodels.backend.exporting import check_exporter, convert, serve_exported
from kmodels.backend.graph import flat_layers, node_of, skip_initializers, table_lookups
from kmodels.backend.internals import require
from kmodels.backend.normalization import fuse_normalization
from kmodels.backend.on_jax import allow_compilation, compile_evaluation, scan_train_steps
from kmodels.backend.on_tensorflow import fuse_penalties
from kmodels.backend.on_torch import keep_channels_last, reorder_kernels, trace_train_step
from kmodels.backend.parallel import (
    Distribution,
    distribute_batches,
    distributed,
    distribution,
    is_first_process,
    lost_processes,
    prepare,
)
from kmodels.backend.running import (
    clear_session,
    device,
    full_precision,
    gradients,
    name,
    random_state,
    read_torch_file,
    seed_dropout,
    set_random_state,
    steps_per_execution,
    tensorflow,
    without_tensorflow,
)

__all__ = [
    "Distribution",
    "allow_compilation",
    "check_exporter",
    "clear_session",
    "compile_evaluation",
    "convert",
    "device",
    "distribute_batches",
    "distributed",
    "distribution",
    "flat_layers",
    "full_precision",
    "fuse_adam",
    "fuse_dropout",
    "fuse_normalization",
    "fuse_penalties",
    "gradients",
    "is_first_process",
    "keep_channels_last",
    "lost_processes",
    "name",
    "node_of",
    "prepare",
    "random_state",
    "read_torch_file",
    "reorder_kernels",
    "require",
    "scan_train_steps",
    "seed_dropout",
    "serve_exported",
    "set_random_state",
    "skip_initializers",
    "steps_per_execution",
    "table_lookups",
    "tensorflow",
    "trace_train_step",
    "without_tensorflow",
]
