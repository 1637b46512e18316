"""What set-up needs. Standard library only: most of it runs before the virtual environment exists."""
