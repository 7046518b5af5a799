"""Side-by-side timings; `make bench` runs them. Nothing here is a test."""
