"""What an entry of NETWORKS is: names, what they mean, and a builder."""

import dataclasses
import functools
import numbers
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import keras

from mpl_tf.options import ConfigError

# Layers, or blocks of them: TensorFlow takes minutes to build as many.
MOST_LAYERS = 1000


class Builder(Protocol):
    """Makes a network of logits.

    The model takes images [N, H, W, C] with values 0 to 255, uint8 or floating, and gives logits
    [N, K]. It scales its input itself, so that training and serving cannot differ.
    """

    def __call__(
        self, num_classes: int, input_shape: tuple[int, ...], /, **arguments: Any
    ) -> keras.Model:
        """Builds one.

        Args:
          num_classes: number of classes K.
          input_shape: (height, width, channels) of the images.
          **arguments: those that every builder takes, with defaults: `seed`, of the initial weights
            and the dropout masks; `dropout` in [0, 1), before the head; `synchronized`, whether
            batch statistics are taken over all replicas. And the builder's further ones.

        Raises:
          ConfigError: there are fewer than 2 classes, or it is no shape of images.
        """


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Networks of one builder, by the names that `--network` takes; itself a builder.

    Attributes:
      build: a Builder. What the groups of `pattern` name, it takes as keywords.
      pattern: regular expression of the names, its groups named.
      forms: the names as a user reads them, numbers and names to fill in as words in capitals.
      help: what the networks are, with an example of a name.
      parse: makes keywords of `build` from the texts of the groups that a name has, unless it has
        none. Raises ConfigError for arguments that are not allowed.
      two_parts: whether `build` makes networks of two parts (`parts`) and takes their `head` and
        `head_temperature`.
      takes_stem: whether `build` takes `stem`, one of `stems.STEMS`.
      takes_drop_block: whether `build` takes `drop_block`, `drop_block_size`, `drop_block_steps`.
      names: published networks among them.
      fetch: downloads the published weights of a network, if they are not there, for images of a
        side and the keywords of `parse`; a `build` with it takes `weights`. Raises ConfigError if
        they cannot be had. None where there are no such weights, or networks come with them.
      pretrained: whether networks come with weights.
      brings_head: whether they may come with a head, which `build` leaves out with
        `keep_head=False`.
    """

    build: Callable[..., keras.Model]
    pattern: str
    forms: tuple[str, ...]
    help: str
    parse: Callable[..., dict[str, Any]] = dict
    two_parts: bool = False
    takes_stem: bool = False
    takes_drop_block: bool = False
    names: tuple[str, ...] = ()
    fetch: Callable[..., None] | None = None
    pretrained: bool = False
    brings_head: bool = False

    def __call__(
        self, num_classes: int, input_shape: tuple[int, ...], /, **arguments: Any
    ) -> keras.Model:
        if keras.config.image_data_format() != "channels_last":
            raise ConfigError(
                "networks here take images [N, H, W, C]; Keras's image_data_format is "
                f"{keras.config.image_data_format()}. Call "
                "keras.config.set_image_data_format('channels_last')."
            )
        if not _is_count(num_classes) or num_classes < 2:
            raise ConfigError(
                f"a network needs a whole number of classes, at least 2; received {num_classes!r}."
            )
        sizes = tuple(input_shape) if isinstance(input_shape, Iterable) else ()
        if len(sizes) != 3 or not all(map(_is_count, sizes)):
            raise ConfigError(
                "a network needs the shape (height, width, channels) of its images, whole numbers; "
                f"received {input_shape!r}."
            )
        return self.build(int(num_classes), tuple(map(int, sizes)), **arguments)

    def matches(self, name: str) -> bool:
        """Whether `name` is one of this architecture's."""
        return re.fullmatch(self.pattern, name) is not None

    def find(self, name: str) -> Builder | None:
        """The builder that goes by `name`; None if it is not one of this architecture's.

        Raises:
          ConfigError: the name has arguments that are not allowed.
        """
        if not self.matches(name):
            return None
        keywords = self.keywords(name)
        return functools.partial(self, **keywords) if keywords else self

    def keywords(self, name: str) -> dict[str, Any]:
        """What `name`, one of this architecture's, says to `build`.

        Raises:
          ConfigError: the name has arguments that are not allowed.
        """
        match = re.fullmatch(self.pattern, name)
        assert match is not None  # as it says
        groups = {key: text for key, text in match.groupdict().items() if text is not None}
        return self.parse(**groups) if groups else {}

    @property
    def text(self) -> str:
        """Forms and help, for lists."""
        return f"{', '.join(self.forms)}: {self.help}."


def _is_count(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 1
