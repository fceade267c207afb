"""The one-shot jobs of an installation from images: keys, the database's schema, the demonstration's data."""
