"""The networks that a method may have, by the names that options, logs and results give them.

Apart from `engine.method`, so that a command can name them before TensorFlow is imported.
"""

ROLES = ("teacher", "student", "ema", "finetuned")
# What a run delivers, whichever of them that is.
DELIVERED = "delivered"
