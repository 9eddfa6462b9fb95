"""HEAR modules for comparison with every model in a results table."""
