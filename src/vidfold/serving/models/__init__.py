"""The models as vLLM serves them, one family per file; only vLLM imports these files."""
