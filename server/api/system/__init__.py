"""What operators ask: models, health, metrics."""
