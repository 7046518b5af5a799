"""Variants, references and imbalance; what may be said of their differences."""
