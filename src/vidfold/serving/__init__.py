"""vLLM serves models whose videos are folded: a plugin that vLLM finds by itself once vidfold is installed beside it.

`vidfold.serving.plugin.register` is its entry point. What vLLM reads is in `startup` (the method a server is started
with), `processing` (how many placeholders a video gets) and `models` (one family per file); what has to be replaced in
vLLM, for want of a hook, is in `replacing`. `methods` and `budgets` need no vLLM.
"""
