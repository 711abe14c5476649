"""Known to every room: settings, deadlines, problems, logs, metrics and trace context."""
