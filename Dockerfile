# distill_nb in a container, as an ordinary user, with the sandbox for model-written code.
#
#   docker build -t distill_nb .                                             # for a CPU
#   docker build -t distill_nb:cuda --build-arg EXTRAS=full,cluster,gpu .    # for a GPU, with vLLM and Unsloth
#   mkdir -p runs && docker run --rm -it -v "$PWD/runs:/home/student/distill_nb/runs" distill_nb make demo
#   docker run --rm -it -p 127.0.0.1:8888:8888 distill_nb                    # JupyterLab, at the address that it prints
#   docker run --rm -it --gpus all … distill_nb:cuda distill-nb study published --scale tiny
#
# The container's user has the id 1000 and must be able to write to a folder that is mounted. PyTorch is PyPI's build for Linux
# in both, with its CUDA libraries: 8 GB for a CPU.
#
# bubblewrap makes user namespaces, which Docker's default seccomp and AppArmor profiles refuse. Where they are refused, the level
# `landlock` is taken (Linux 6.2 or newer), which needs nothing. For the level `bubblewrap`:
#   docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined …
# and on an Ubuntu 24.04 host also `sysctl kernel.apparmor_restrict_unprivileged_userns=0`.
# `distill-nb doctor` says which level works. docs/never_run.md says how far this file was tried.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm

# gcc and Python's headers are what Triton compiles with at first use on a GPU
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends make git bubblewrap gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home student \
 && install -d -o student -g student /home/student/distill_nb /home/student/distill_nb/runs  # WORKDIR would make it as root
USER student
WORKDIR /home/student/distill_nb
COPY --chown=student . .
ENV PIP_NO_CACHE_DIR=1
ARG EXTRAS=""
RUN make setup \
 && if [ -n "$EXTRAS" ]; then .venv/bin/python -m pip install -q -e ".[$EXTRAS]" -c constraints.txt; fi
ENV PATH="/home/student/distill_nb/.venv/bin:$PATH"
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "notebooks"]
