"""The command line: ``captum-pcim demo``, ``explain``, ``compare`` and ``screen``."""
