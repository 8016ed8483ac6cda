"""Whether the networks of a configuration exist, and can start from what it names."""

from mpl_tf import networks
from mpl_tf.config.config import Config
from mpl_tf.networks import heads
from mpl_tf.options import ConfigError


def check_networks(config: Config) -> None:
    """Looks at networks and their weights; downloads published weights that are not there.

    Raises:
      ConfigError: there is no such network, it has no use for an option, or its weights are not
        there.
    """
    run, options = config.run, config.network
    names = list(dict.fromkeys((run.network, run.teacher_network or run.network)))
    for name in names:
        networks.find(name)
    heads.hidden_width(options.head)
    if options.head != "linear" and not any(map(networks.has_parts, names)):
        raise ConfigError(
            f"head={options.head} is for networks of a backbone and a head (keras:NAME); received "
            f"network={run.network}."
        )
    if not options.network_weights:
        return
    takes = [name for name in names if networks.takes_weights(name)]
    if not takes:
        raise ConfigError(
            f"network_weights are for networks of keras.applications (keras:NAME); received "
            f"network={run.network}."
        )
    for name in takes:
        networks.check(name, options.network_weights, config.data.image_size)
