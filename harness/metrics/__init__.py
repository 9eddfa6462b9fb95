"""Scores of predictions: metrics of scenes and of events, and their intervals over test clips."""
