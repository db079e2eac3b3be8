"""Names everything else agrees on: errors, columns, settings, plain display."""
