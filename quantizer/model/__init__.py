"""What a model file holds: tensors, their roles, their sizes and hashes."""
