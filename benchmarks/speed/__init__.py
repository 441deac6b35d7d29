"""What PCIM costs beyond the passes it makes: time, memory, import."""
