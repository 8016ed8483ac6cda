"""Features of images by a frozen backbone, computed once and kept on the disk."""
