"""Running part of a vision tower: the tokens that a plan says, by the tower's own modules."""
