"""The server: gunicorn with a worker of our own."""
