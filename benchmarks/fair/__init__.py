"""PCIM against fair rivals: the same images, references and passes, each rival in its best form."""
