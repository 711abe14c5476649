"""What a request costs here, beside what it costs elsewhere and what it must cost at least."""
