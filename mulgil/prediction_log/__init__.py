"""The prediction log: a small collector of CloudEvents that keeps predictions as Parquet, and its reader."""
