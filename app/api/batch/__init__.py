"""Batch: several writes of tasks and categories, all of them or none."""
