"""The checks of ``hear-byola validate``: the official hear-validator, and stricter ones."""
