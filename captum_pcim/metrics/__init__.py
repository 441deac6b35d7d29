"""Measures of attribution maps that captum.metrics lacks."""
