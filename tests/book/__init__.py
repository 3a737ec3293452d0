"""Tests of the book: pages, labs, citations, and the built site."""
