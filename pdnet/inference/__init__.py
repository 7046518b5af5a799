"""A trained network on clips: masks, scores, speed, a person's own video."""
