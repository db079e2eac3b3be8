"""The state of customers: lifecycle, RFM, how they move, who holds the revenue."""
