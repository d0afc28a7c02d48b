"""Console: what people see, read from every topic."""
