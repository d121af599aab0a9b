"""One file an arm: a frozen value that connects, the vendor's package imported only when it does."""
