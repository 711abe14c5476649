"""What production gives, made here: Neon in a box, with a database and network that can be hurt."""
