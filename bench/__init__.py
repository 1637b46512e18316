"""What `make bench` runs: the block pipeline against coldsnap and against the floor. Never imported by the product."""
