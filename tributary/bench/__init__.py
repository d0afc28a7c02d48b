"""Performance as a ratio: each figure beside its baseline, measured interleaved in one run. One file a figure."""
