# vLLM with vidfold's plugin on a GPU. From the root of a clone:
#   docker build -f docs/serving.Dockerfile -t vidfold-vllm .
#   docker run --gpus all --ipc=host -p 8000:8000 vidfold-vllm --model llava-hf/llava-onevision-qwen2-7b-ov-hf \
#       --video-pruning-rate 0.9 --video-pruning-method aot --trust-request-mm-kwargs
FROM vllm/vllm-openai:v0.32.0
COPY . /opt/vidfold
# The image has torch, transformers and vLLM in versions that belong together: nothing of it is replaced.
RUN python3 -m pip install --no-cache-dir --no-deps /opt/vidfold && python3 -m pip install --no-cache-dir 'av>=15,<20' \
    && python3 -c 'from importlib.metadata import entry_points; entry_points(group="vllm.general_plugins")["vidfold"].load()'
