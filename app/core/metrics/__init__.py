"""Metrics, counted in memory that all worker processes share."""
