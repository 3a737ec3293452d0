"""Scripts that set up, build and check the book; not part of the package."""
