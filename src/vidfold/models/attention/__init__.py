"""What vision layers attend with, and the attention that every token receives."""
