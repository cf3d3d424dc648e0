"""HDF5 files: opened by h5py, after a trial in a process of its own."""
