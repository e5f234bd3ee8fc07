"""For tools that ask for a setup.py: everything that it says stands in pyproject.toml."""

from setuptools import setup

setup()
