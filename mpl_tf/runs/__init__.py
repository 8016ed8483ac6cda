"""One training run, from images to export, and its folder."""
