"""Known corpora, fetched from where they lie and verified."""
