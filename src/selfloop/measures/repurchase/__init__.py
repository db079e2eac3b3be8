"""Buying again: how many go on, how long they take, when to remind them."""
