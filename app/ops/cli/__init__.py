"""Commands for operators: `flask users`, `tokens`, `purge`, `config` and `version`."""
