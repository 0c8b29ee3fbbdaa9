"""Judge a model bundle once on the test rows, and decide whether it may go on."""
