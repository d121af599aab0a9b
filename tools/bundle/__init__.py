"""`make bundle`: a folder for servers without a network."""
