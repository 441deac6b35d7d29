"""How good maps are: every metric, method and image set."""
