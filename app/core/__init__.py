"""What every other package may import: settings, deadlines, problems, logs, metrics and traces."""
