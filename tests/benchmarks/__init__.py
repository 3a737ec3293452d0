"""Speed beside the field's implementations, at equal quality; `make bench` times them."""
