"""The export: a SavedModel for TensorFlow Serving, and the functions in it."""
