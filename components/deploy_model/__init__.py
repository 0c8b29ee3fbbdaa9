"""Deploy a registered, approved model as an InferenceService, and see it answer."""
