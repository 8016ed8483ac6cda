"""Encoded image files, and the pixels in them."""
