"""Export and import: an account leaves as a file, and comes back from one."""
