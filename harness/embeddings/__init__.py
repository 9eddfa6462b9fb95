"""Stage 1 of an evaluation: compute the embeddings of a task's splits and store them on disk."""
