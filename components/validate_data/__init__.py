"""Judge a dataset against its dictionary with TFDV, and leave statistics, anomalies and a verdict."""
