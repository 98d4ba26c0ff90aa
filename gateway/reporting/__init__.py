"""Reports of what became of the cases and what people bore: gathered from the store, written for readers."""
