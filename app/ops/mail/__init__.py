"""Mail: taking it from the outbox, making a message of it, and handing that over by SMTP."""
