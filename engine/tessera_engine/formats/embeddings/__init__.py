"""What all formats read into."""
