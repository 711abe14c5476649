"""Webhooks: finding endpoints that have something to be told, and calling them."""
