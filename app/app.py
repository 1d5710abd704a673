"""The page of ``vidfold app`` as a Hugging Face Space."""

from vidfold.app.loading import load
from vidfold.live.page import serve

serve(load())
