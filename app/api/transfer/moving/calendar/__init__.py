"""Calendars with tasks (VTODO)."""
