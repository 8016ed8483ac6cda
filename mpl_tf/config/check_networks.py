"""Whether the networks of a configuration exist, and can start from what it names."""

from mpl_tf import networks
from mpl_tf.config.config import Config
from mpl_tf.methods import METHODS
from mpl_tf.networks import freezing, heads
from mpl_tf.networks.options import NetworkConfig
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
    heads.check(options.head)
    freezing.check(options.train)
    _refuse_without_effect(options, names, config.optimizer.optimizer)
    _refuse_beside_frozen(options, run.method)
    if options.student_init == "teacher" and len(names) > 1:
        raise ConfigError(
            "student_init=teacher is for a student of the teacher's layers; received "
            f"network={run.network} and teacher_network={run.teacher_network}."
        )
    for name in names:
        if options.network_weights and networks.takes_weights(name):
            networks.check(name, options.network_weights, config.data.image_size)


def _refuse_without_effect(options: NetworkConfig, names: list[str], optimizer: str) -> None:
    """Raises ConfigError if an option is set that none of the networks has a use for."""
    received = f"received network={' and teacher_network='.join(names)}"
    for name in ("head", "head_temperature"):
        value = getattr(options, name)
        if value != getattr(NetworkConfig, name) and not any(map(networks.has_parts, names)):
            raise ConfigError(
                f"{name}={value} is for networks of a backbone and a head, which all are but "
                f"{networks.forms(lambda each: not each.two_parts)}; {received}."
            )
    if options.drop_block and not any(map(networks.takes_drop_block, names)):
        raise ConfigError(
            f"drop_block={options.drop_block} is for residual networks: "
            f"{networks.forms(lambda each: each.takes_drop_block)}; {received}."
        )
    if options.stem != NetworkConfig.stem and not any(map(networks.takes_stem, names)):
        raise ConfigError(
            f"stem={options.stem} is for networks with a stem for small images and another for "
            f"large ones: {networks.forms(lambda each: each.takes_stem)}; {received}."
        )
    if options.head_init == "probe" and options.head != "linear":
        raise ConfigError(
            f"head_init=probe is for head=linear, which a logistic regression has the weights of; "
            f"received head={options.head}."
        )
    if options.network_weights and not any(map(networks.takes_weights, names)):
        raise ConfigError(
            f"network_weights are for networks of keras.applications (keras:NAME); {received}."
        )
    learned = [n for n in names if networks.is_pretrained(n, options.network_weights)]
    of_parts = [n for n in names if networks.has_parts(n)]
    if learned and learned != of_parts:
        raise ConfigError(
            "networks of a backbone and a head must all start from learned weights, or none; "
            f"{received}, of which {' and '.join(set(of_parts) - set(learned))} does not."
        )
    for name in ("train", "batch_norm", "backbone_rate", "head_init"):
        value = getattr(options, name)
        if value != getattr(NetworkConfig, name) and not learned:
            raise ConfigError(
                f"{name}={value} is for networks that start from learned weights: keras:NAME with "
                f"--network_weights, file:MODEL.keras, "
                f"hub:PRESET; {received}."
            )
    if optimizer != "sgd" and options.backbone_rate != NetworkConfig.backbone_rate:
        raise ConfigError(
            f"backbone_rate={options.backbone_rate} is for optimizer=sgd; {optimizer} has a rate "
            "of its own for each layer. Leave one of them out."
        )


def _refuse_beside_frozen(options: NetworkConfig, method: str) -> None:
    """Raises ConfigError if a network's backbone stays as it is, and it is said how it learns."""
    by_method = METHODS[method].classifier_only
    if by_method and options.train not in (NetworkConfig.train, "head"):
        raise ConfigError(
            f"train={options.train} has no effect beside method={method}, which trains the last "
            "layer alone. Leave it out, or take method=finetune."
        )
    if not by_method and options.train != "head":
        return
    frozen, remedy = "train=head", "set train, too"
    if by_method:
        frozen, remedy = f"method={method}", "take another method"
    for name in ("batch_norm", "backbone_rate"):
        value = getattr(options, name)
        if value not in (getattr(NetworkConfig, name), "frozen"):
            raise ConfigError(
                f"{name}={value} has no effect beside {frozen}, which leaves the backbone as it "
                f"is. Leave it out, or {remedy}."
            )
