"""How often the reported intervals hold a simulated truth."""
