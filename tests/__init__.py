"""The tests: cases as data, real servers, sentences as names."""
