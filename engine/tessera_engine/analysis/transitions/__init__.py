"""What became of each class between two maps: transitions, with their areas."""
