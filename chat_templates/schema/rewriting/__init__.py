"""What a grammar builder does not understand, said in keywords that it does."""
