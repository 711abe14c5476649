"""Files of Microsoft To Do."""
