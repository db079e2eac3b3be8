"""Who brings whom: the network, its timing, what is to come, and what looks wrong."""
