"""The dialect of embeddings."""
