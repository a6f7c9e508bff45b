"""What `peakatlas doctor` examines."""
