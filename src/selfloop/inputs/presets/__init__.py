"""Column names of real exports, as data files."""
