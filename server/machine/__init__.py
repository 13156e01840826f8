"""What this machine gives a model: processors, quotas, rates, tunings."""
