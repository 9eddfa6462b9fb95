"""A table of labels and a folder of recordings to a task."""
