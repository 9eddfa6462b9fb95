"""HEAR-API modules: find, import, hash and check them, and call them in isolation."""
