"""Real servers for the tests: each on 127.0.0.1, in a private folder, stopped by its process id."""
