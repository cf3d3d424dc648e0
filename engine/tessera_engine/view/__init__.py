"""The page in the browser: its server, its layers, its cache of codes, labels and live classes."""
