"""Whether a configuration can train on cached features."""

from mpl_tf import networks
from mpl_tf.config.config import Config
from mpl_tf.options import ConfigError


def check_features(config: Config) -> None:
    """Refuses cached features where networks have none, or would change them.

    Raises:
      ConfigError: the networks are not made of a backbone and a head, the backbone learns, or
        teacher and student have not the same one.
    """
    if not config.is_cached:
        return
    run = config.run
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
    if run.teacher_network not in ("", run.network):
        raise ConfigError(
            "features=cache is for a teacher and a student of one network, because they share the "
            f"features; received network={run.network}, teacher_network={run.teacher_network}. "
            "features=off takes two."
        )
