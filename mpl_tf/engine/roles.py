"""The networks of a method, by the names that options, logs and results give them."""

ROLES = ("teacher", "student", "ema", "finetuned")
