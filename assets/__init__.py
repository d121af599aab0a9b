"""What lies on the table: random toys and real objects."""
