"""Pages: static HTML that opens without a network."""
