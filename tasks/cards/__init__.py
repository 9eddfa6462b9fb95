"""Task cards: one YAML file a task, which says what the task is and where it comes from."""
