import torch

torch.set_num_threads(1)  # the tests' networks are so small that threads only wait for each other
