"""What the model server is compared with."""
