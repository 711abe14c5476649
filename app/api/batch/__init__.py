"""Batch: several writes of rows of any kind, all of them or none."""
