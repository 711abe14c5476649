"""For operators: commands, the doctor, metrics and traces."""
