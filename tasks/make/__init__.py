"""Make a task from a table of labels and a folder of recordings."""
