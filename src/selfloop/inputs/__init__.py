"""From the user's files and tables to clean events and one row per person."""
