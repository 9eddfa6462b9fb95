"""HEAR-API modules: found, imported, hashed, called in isolation, and checked."""
