"""What all kinds of versioned rows have in common."""
