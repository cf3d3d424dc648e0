"""Areas and accuracies of class maps, estimated from a random sample of points that were checked."""
