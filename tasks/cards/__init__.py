"""Task cards: one YAML file per task, with the task's properties and origin."""
