"""A config file becomes values with places, checked by the schema that its dataclasses give."""
