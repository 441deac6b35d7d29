"""Pixel-wise channel isolation mixing (PCIM) as a Captum attribution."""
