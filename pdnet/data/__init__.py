"""Clips and images: where they come from, what is wrong with them, how they are sampled."""
