"""Webhooks: URLs that are called when a user's rows change or a task reminds."""
