"""Features of images by a frozen backbone, computed once and kept on the disk."""

from mpl_tf.features.extraction import extract

__all__ = ["extract"]
