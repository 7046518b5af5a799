"""What each notebook shows: a module a notebook, functions that give a figure or a table."""
