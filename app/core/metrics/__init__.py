"""Metrics of this process, counted in memory that all worker processes share."""
