"""The command line, ``captum-pcim``: :mod:`captum_pcim.cli.main` names its commands."""
