"""What methods keep of the features of a real vision tower, on any videos, without a language model."""
