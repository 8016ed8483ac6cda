"""The state of a whole phase of a run on disk."""

import os

import tensorflow as tf


class Checkpoints:
    """Saves and restores an engine: weights, optimizers, counters and random states.

    Args:
      engine: methods.engine.Engine, compiled, so that its optimizers have their slots.
      directory: str, of this phase alone.
      keep: int, how many of the newest are kept.
    """

    def __init__(self, engine, directory, keep=2):
        # States of SeedGenerators (dropout) are variables but not weights; Keras's own tracking
        # leaves them out, and restoring does not notice.
        weights = {id(v) for v in engine.weights}
        metrics = {id(v) for metric in engine.metrics for v in metric.variables}
        random_states = [
            v.value for v in engine.variables if id(v) not in weights and id(v) not in metrics
        ]
        tracked = tf.train.Checkpoint(engine=engine, random_states=random_states)
        self._manager = tf.train.CheckpointManager(tracked, directory, max_to_keep=keep)
        self._tracked = tracked

    def save(self, step):
        """Writes the state after `step` steps."""
        self._manager.save(checkpoint_number=step)

    def restore(self):
        """Restores the newest checkpoint, if there is one.

        Returns:
          int, the step it was saved at; 0 if there is none.
        """
        newest = self._manager.latest_checkpoint
        if newest is None:
            return 0
        self._tracked.restore(newest).assert_existing_objects_matched()
        return int(os.path.basename(newest).rpartition("-")[2])
