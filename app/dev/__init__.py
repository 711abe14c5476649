"""The embedded PostgreSQL, and what `make run` starts; never imported in production."""
