"""The laptop platform: environments, the runner of compiled pipelines, its run store, the serving plane."""
