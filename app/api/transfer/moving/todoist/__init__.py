"""Files of Todoist."""
