"""Figures of results, drawn by matplotlib: once for a page, as SVG, and for papers.

Every function returns a ``matplotlib.figure.Figure`` of a given width in inches. The font size does
not depend on the width; only names that would not fit are smaller.
:func:`harness.report.figures.svg.to_svg` and :func:`harness.report.figures.style.save` write the
figure. Nothing here reads files or computes scores.
"""
