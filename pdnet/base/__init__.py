"""Files, processes and tracking: what cannot change a number."""
