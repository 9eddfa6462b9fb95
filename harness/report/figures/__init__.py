"""Figures of results, drawn by matplotlib: once for a page, as SVG, and for papers.

Every function returns a ``matplotlib.figure.Figure`` of the width that it is told, in inches, with
letters of one size whatever the width, smaller only for names that else would not fit;
:func:`harness.report.figures.svg.to_svg` and :func:`harness.report.figures.style.save` write it.
Nothing here reads files or computes scores.
"""
