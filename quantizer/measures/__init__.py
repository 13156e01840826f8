"""What a file lost: one measure a module, one evaluation of them all."""
