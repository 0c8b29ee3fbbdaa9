"""What training costs beside a plain fit in memory, and what it needs where there are many rows."""
