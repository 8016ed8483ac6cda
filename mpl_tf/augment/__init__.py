"""Image augmentation: batched, stateless, uint8 in and out."""
