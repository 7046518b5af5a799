"""The training recipe, its schedule, its resumable state, and the health of its parts."""
