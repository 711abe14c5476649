"""Running on a cluster of Citus: `flask cluster distribute`."""
