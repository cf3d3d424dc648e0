"""What `info`, `doctor` and `bench` measure and print."""
