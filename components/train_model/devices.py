"""What a fit has on the machine that it runs on: a GPU and its number formats, and a seed of its own."""

from __future__ import annotations

import secrets

import tensorflow as tf

from mulgil.contract.learning import SEEDS, Training


def share_gpus() -> list[tf.config.PhysicalDevice]:
    """Return the GPUs, of whose memory this process now takes no more than it needs: others may use them."""
    gpus: list[tf.config.PhysicalDevice] = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return gpus


def settle(training: Training) -> Training:
    """Return the settings as they are on this machine, with a seed; what differs is printed."""
    gpus = share_gpus()
    if gpus:
        print("Networks are fitted on " + ", ".join(gpu.name for gpu in gpus))
    precision = choose_precision(training.precision, has_gpu=bool(gpus))
    if precision != training.precision:
        print(f"There is no GPU: fitted in {precision}, not in {training.precision}")
    seed = training.seed
    if seed is None:
        seed = secrets.randbelow(SEEDS)
        print(f"Drawn for this training: seed {seed}")
    return training.model_copy(update={"precision": precision, "seed": seed})


def choose_precision(asked: str, *, has_gpu: bool) -> str:
    """Return what a network computes in: a CPU has no circuits for 16 bits, and would take longer."""
    return asked if has_gpu else "float32"
