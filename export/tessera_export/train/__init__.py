"""Training of the reference: by Barlow Twins, or by distillation."""
