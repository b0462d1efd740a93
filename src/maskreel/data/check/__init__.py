"""What is wrong with a data set: all of it at once, by kind and place, and the repair of what can be repaired safely."""
