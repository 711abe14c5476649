"""The database: connections, the scope of a statement, and running statements."""
