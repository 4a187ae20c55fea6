"""What a run would take on a machine that need not be there: its programs as shapes, compiled, counted and timed; and
what a step takes on the machine at hand, phase by phase, and how that grows."""
