"""Task cards: one YAML file per task in ``data``, with the task's properties and origin."""
