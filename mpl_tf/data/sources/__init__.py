"""Where images come from: digits, folders, TensorFlow Datasets, TFRecord shards."""
