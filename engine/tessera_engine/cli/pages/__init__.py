"""What `info`, `doctor` and `bench` show."""
