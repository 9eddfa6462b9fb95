"""Write results as one HTML page, and as figures for papers.

``harness.report.page.write_page`` writes a file that is opened from disk, without a network;
``harness.report.papers.write_figures`` the same figures as PDF and PNG.
"""
