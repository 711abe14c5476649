"""What a change of the contract would break for clients that were written for the last release."""
