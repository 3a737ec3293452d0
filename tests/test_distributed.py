"""Several processes that share each batch compute what one process computes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nlpmeta.training import fit, minibatches
from tests.test_training import BATCH, KilledError, X, Y, killed_at, loss, network, score, weights

SCRIPT = Path(__file__)
OPTIONS = {"steps": 24, "lr": 0.05, "clip": 0.5, "evaluate": score, "every": 8}


def launch(path, processes=2):
    """Run this file under ``accelerate launch``; each process writes what it found.

    Several processes on one machine are what the flag --multi_gpu asks for; the variable keeps
    them on the processor, where they talk through gloo.
    """
    port = 20_000 + os.getpid() % 20_000
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"),
        *("--num_machines", "1"),
        *("--num_processes", str(processes), "--main_process_port", str(port)),
        *("--mixed_precision", "no", "--dynamo_backend", "no", str(SCRIPT), str(path)),
    ]
    root = str(SCRIPT.parent.parent)
    path_of = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False,
        env=os.environ | {"PYTHONPATH": path_of, "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip


@pytest.mark.parity(
    "training",
    "`fit` in two processes under `accelerate launch`",
    "one process with the doubled batch: losses, weights",
    "`1e-6`, `1e-5`, absolute",
)
def test_two_gloo_processes_compute_what_one_does_with_the_doubled_batch(tmp_path):
    done = launch(tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert [one["processes"] for one in found] == [2, 2]
    model = network()
    alone = fit(model, loss, BATCH, **OPTIONS)
    for one in found:
        np.testing.assert_allclose(one["losses"], alone.losses, rtol=0, atol=1e-6)
        np.testing.assert_allclose(one["scores"], alone.scores, rtol=0, atol=1e-6)
        np.testing.assert_allclose(one["weights"], weights(model).numpy(), rtol=0, atol=1e-5)
    assert found[0]["weights"] == found[1]["weights"]
    assert found[0]["resumed"] == pytest.approx(alone.losses[-1], abs=1e-6)
    assert "does not divide among 2" in found[1]["odd"]


def test_an_accelerator_of_one_process_changes_nothing():
    from accelerate import Accelerator

    models = network(0.3), network(0.3)
    histories = [
        fit(model, loss, BATCH, accelerator=accelerator, **OPTIONS)
        for model, accelerator in zip(models, (None, Accelerator(cpu=True)))
    ]
    np.testing.assert_array_equal(histories[0].losses, histories[1].losses)
    assert weights(models[0]).equal(weights(models[1]))


def main(folder: Path) -> None:
    """What each process does."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    path = folder / "run.safetensors"
    try:  # killed after 19 updates, resumed from the checkpoint after 16
        fit(
            network(),
            loss,
            killed_at(BATCH, 19),
            checkpoint=path,
            accelerator=accelerator,
            **OPTIONS,
        )
    except KilledError:
        accelerator.wait_for_everyone()
    resumed = fit(network(), loss, BATCH, checkpoint=path, accelerator=accelerator, **OPTIONS)
    model = network()
    history = fit(model, loss, BATCH, accelerator=accelerator, **OPTIONS)
    try:
        fit(model, loss, minibatches(X, Y, size=15), steps=1, accelerator=accelerator)
    except ValueError as error:
        odd = str(error)
    found = {
        "processes": accelerator.num_processes,
        "losses": history.losses.tolist(),
        "scores": history.scores.tolist(),
        "weights": weights(model).tolist(),
        "resumed": resumed.losses[-1],
        "odd": odd,
    }
    (folder / f"{accelerator.process_index}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
