"""An attack on the project: random bad input, faults at every write, kills at random points."""
