"""What clients call: a package for each resource."""
