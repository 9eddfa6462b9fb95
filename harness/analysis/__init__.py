"""Reads results: the table, comparisons and their power, published boards."""
