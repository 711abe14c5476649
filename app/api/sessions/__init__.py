"""Sessions: where a user is signed in."""
