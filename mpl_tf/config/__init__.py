"""The configuration of one run: its options, how they are made, and what is refused."""

from mpl_tf.config.checks import check_compute, check_data, check_replicas, check_schedule
from mpl_tf.config.config import Config, applies, unused_options
from mpl_tf.config.groups import ComputeConfig, OptimizerConfig, RunConfig
from mpl_tf.config.make import make, pretraining
from mpl_tf.data.options import DataConfig
from mpl_tf.features.options import FeatureConfig
from mpl_tf.networks.options import NetworkConfig

__all__ = [
    "ComputeConfig",
    "Config",
    "DataConfig",
    "FeatureConfig",
    "NetworkConfig",
    "OptimizerConfig",
    "RunConfig",
    "applies",
    "check_compute",
    "check_data",
    "check_replicas",
    "check_schedule",
    "make",
    "pretraining",
    "unused_options",
]
