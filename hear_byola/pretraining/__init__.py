"""BYOL-A pretraining: audio in, checkpoint out (arXiv 2103.06695, arXiv 2204.07402)."""
