"""Lifetime value: what customers are still going to buy, and what it is worth."""
