"""steerx: personalise a language model's writing without training."""
