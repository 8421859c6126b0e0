"""Word-level recurrent language models: trained, evaluated, sampled and resumed."""

__version__ = "0.1.0"
