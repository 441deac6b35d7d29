"""The image sets of the benchmarks and the classifiers that are explained on them."""
