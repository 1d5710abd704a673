"""The page of ``vidfold app`` as a Hugging Face Space."""

import os

from vidfold.app.loading import load
from vidfold.live.page import serve

# A Space says where its page is to be served; elsewhere it is served to this machine alone.
serve(load(), host=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
