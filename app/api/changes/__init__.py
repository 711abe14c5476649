"""Changes: everything of a user's that was created, changed or deleted, in the order it was."""
