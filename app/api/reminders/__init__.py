"""Reminders that are to come, in the order in which they ring."""
