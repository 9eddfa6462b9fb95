"""The protocol ``byola``: the linear evaluation of BYOL-A (arXiv 2103.06695, section IV-A)."""

from __future__ import annotations

from harness.probe.protocol import MULTICLASS, Protocol, SelectBy
from harness.probe.protocols.mlp import MLP

# One layer, Adam, up to 200 epochs, patience 10. The paper does not say what must gain on
# validation. By loss: on small tasks, where an epoch is one step, accuracy can stand still for
# longer than the patience.
byola = Protocol(
    name="byola",
    description="one softmax layer trained by Adam, mean of ten runs, as in the BYOL-A paper",
    kinds=(MULTICLASS,),
    classifier=MLP(),
    grid={
        "batch_size": (256,),
        "check_val_every_n_epoch": (1,),
        "dropout": (0.0,),
        "hidden_dim": (0,),
        "hidden_layers": (0,),
        "initialization": ("xavier_uniform",),
        "lr": (1e-3,),
        "max_epochs": (200,),
        "norm_after_activation": (False,),
        "patience": (10,),
    },
    runs=10,
    select_by=SelectBy.LOSS,
)
