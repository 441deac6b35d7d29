"""Any classifier, from memory or from disk, as a forward function."""

from captum_pcim.classifiers.embeddings import Direction, DistanceToControls, Similarity

__all__ = ["Direction", "DistanceToControls", "Similarity"]
