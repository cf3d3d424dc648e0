"""Files that outlive the power: durable writing, publishing, checksums, staged arrays, the output folder."""
