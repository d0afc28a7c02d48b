"""The story, a chapter a file; each chapter is a few steps that stand on those before."""
