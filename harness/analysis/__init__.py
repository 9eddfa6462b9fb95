"""Analyse results: the table, comparisons of models, their power, and published boards."""
