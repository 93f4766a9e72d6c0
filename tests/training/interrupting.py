"""A callback that interrupts a training inside an epoch."""

import keras


class InterruptAt(keras.callbacks.Callback):
    """Ctrl-C after a batch, as Keras numbers those of a call, of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.now == self.at[0] and batch >= self.at[1]:
            raise KeyboardInterrupt
