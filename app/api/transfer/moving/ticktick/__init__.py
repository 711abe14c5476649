"""Backups of TickTick."""
