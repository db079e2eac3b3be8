"""The stages of the loop: how many get there, when, who is stuck, who differs."""
