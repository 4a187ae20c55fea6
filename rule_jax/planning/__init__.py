"""What a run would take on a machine that need not be there: its programs as shapes, compiled, counted and timed."""
