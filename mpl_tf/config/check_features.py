"""Whether a configuration can train on cached features."""

from mpl_tf import networks
from mpl_tf.config.config import Config
from mpl_tf.data.options import DataConfig
from mpl_tf.methods import SELF_SUPERVISED
from mpl_tf.options import ConfigError


def check_features(config: Config) -> None:
    """Refuses cached features where networks have none, or would change them.

    Raises:
      ConfigError: nothing would be kept in `cache_dir`; or features are to be cached, and the
        networks are not made of a backbone and a head, the backbone learns, or teacher and student
        have not the same one.
    """
    run = config.run
    of_files = run.dataset.startswith("folder:")
    if config.data.cache_dir and config.features.features == "off" and not of_files:
        raise ConfigError(
            f"cache_dir has no effect beside features=off and dataset={run.dataset}: it is for "
            "cached features, and for images of dataset=folder:PATH. Leave it out."
        )
    if run.method in SELF_SUPERVISED and config.network.train == "head":
        raise ConfigError(
            f"method={run.method} teaches the encoder, and train=head leaves it as it is. Leave "
            "one of them out."
        )
    if not config.is_cached:
        return
    if config.network.train != "head":
        raise ConfigError(
            f"features=cache is for train=head, where the backbone does not learn; received "
            f"train={config.network.train}."
        )
    if not networks.has_parts(run.network):
        raise ConfigError(
            "features=cache is for networks of a backbone and a head (keras:NAME); received "
            f"network={run.network}."
        )
    for name in ("eval_image_size", "finetune_weak"):
        if (value := getattr(config.data, name)) != getattr(DataConfig, name):
            raise ConfigError(
                f"{name}={value} is for networks that see images; features=cache, as auto has it "
                "for train=head, keeps features of views of one size. Take --features=off."
            )
    if run.teacher_network not in ("", run.network):
        raise ConfigError(
            "features=cache is for a teacher and a student of one network, because they share the "
            f"features; received network={run.network}, teacher_network={run.teacher_network}. "
            "features=off takes two."
        )
