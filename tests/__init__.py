"""The tests: of the package here, of the book and its labs in `book/`."""
