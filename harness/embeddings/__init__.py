"""Stage 1: a model on the splits of a task, kept on disk."""
