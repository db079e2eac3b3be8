"""Questions about a shop: each module answers one, from clean events."""
