"""gunicorn's gthread worker, extended; the application also runs without this package."""
