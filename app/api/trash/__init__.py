"""The trash: what was deleted, until it is restored, erased or purged."""
