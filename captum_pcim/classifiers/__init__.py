"""Any classifier, from memory or from disk, as a forward function."""
