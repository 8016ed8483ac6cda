"""The options of cached features."""

import dataclasses

from mpl_tf.options import option

_CACHED = ("features", ("auto", "cache"))
DTYPES = ("float16", "float32")


@dataclasses.dataclass(frozen=True)
class FeatureConfig:
    """Whether the features of a backbone that does not learn are kept, and of which views."""

    features: str = option(
        "auto",
        "cache: the backbone sees every image once, before the first step, and steps train the "
        "head on its features. off: it sees the images of every step. auto: cache with train=head.",
        choices=("auto", "cache", "off"),
    )
    cached_weak_views: int = option(
        2,
        "Weak views of each image that are cached; a step draws one of them.",
        low=1,
        high=100,
        beside=_CACHED,
    )
    cached_strong_views: int = option(
        4,
        "Strong views of each image that are cached; a step draws one of them.",
        low=1,
        high=100,
        needs="strong",
        beside=_CACHED,
    )
    view_seed: int = option(
        0,
        "Seed of the cached views; another one than the run's, so that runs share them.",
        low=0,
        high=2**31,
        beside=_CACHED,
    )
    cache_dtype: str = option(
        "float16", "Numbers in which features are cached.", choices=DTYPES, beside=_CACHED
    )


def is_cached(options: FeatureConfig, train: str) -> bool:
    """Whether a run trains on cached features.

    Args:
      options: of the run.
      train: which part of its networks learns, as `--train` takes it.
    """
    return options.features == "cache" or (options.features == "auto" and train == "head")
