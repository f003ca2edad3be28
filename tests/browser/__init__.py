"""Tests in a browser. As a package, they can share it and close it after the last: even idle pages take time."""
