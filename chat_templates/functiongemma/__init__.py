"""Google's FunctionGemma: 270 million parameters for calls alone."""
