"""Methods that PCIM is compared with and that Captum lacks."""
