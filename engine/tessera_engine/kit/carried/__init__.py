"""Files that go into a kit as they are. They run there, where the engine isn't installed yet."""
