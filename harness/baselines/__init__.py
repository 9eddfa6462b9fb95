"""HEAR modules that stand beside every model in a results table."""
