"""`flask doctor`: looks at a deployment and says what to do about what it finds."""
