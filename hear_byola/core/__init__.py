"""The foundation that the harness builds on as well: files, errors, YAML, schemas. No torch."""
