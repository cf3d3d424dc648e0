"""Files that survive a power cut: durable writing, publishing, checksums, staged arrays, the output folder."""
