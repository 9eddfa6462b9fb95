"""``hear-byola validate``: the official hear-validator, and stricter checks of the HEAR API."""
