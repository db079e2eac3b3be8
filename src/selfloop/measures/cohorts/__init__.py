"""Who comes back: people by when they first bought, and what they do at each age."""
