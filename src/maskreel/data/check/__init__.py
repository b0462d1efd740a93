"""What is wrong with a data set, all of it at once, by kind and place; and repairs that lose nothing."""
