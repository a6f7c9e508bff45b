"""What is fitted on reference cells."""
