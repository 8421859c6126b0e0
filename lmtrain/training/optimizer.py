"""Optimizers, clipping, and the guard that keeps a non-finite gradient out of the weights."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lmtrain.training.norms import global_norm

_KINDS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


class Optimizer:
    """One of torch's fused optimizers, which clips and guards in the same pass over the weights.

    The fused kernels divide gradients by ``grad_scale`` and leave everything untouched where
    ``found_inf`` is set. Clipping by global norm is the first, the guard against a non-finite loss the
    second, and neither reads a value back from the device.

    A sparse gradient (of rows of an embedding, on the CPU) updates those rows alone, where the optimizer's
    definition leaves the others as they are: see ``takes_sparse``.

    Args:
        parameters: What is trained.
        name: ``sgd``, ``adam`` or ``adamw``.
        lr: The base learning rate, which a schedule's factor multiplies.
        max_grad_norm: Gradients of a larger global 2-norm are scaled down to it; None never clips. Source:
            Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks".
        options: The further arguments of torch's optimizer of that name.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        name: str,
        lr: float,
        max_grad_norm: float | None = None,
        **options: Any,
    ) -> None:
        self.takes_sparse = name == "sgd" and not (options.get("momentum") or options.get("weight_decay"))
        """Whether gradients may be sparse: a row without one is not changed."""
        self._parameters = [p for p in parameters if p.requires_grad]
        self._base_lr = lr
        self._max_grad_norm = max_grad_norm
        self._torch: Any = _KINDS[name](self._parameters, lr=lr, fused=True, **options)
        self._looked_up: list[tuple[Tensor, Tensor]] = []
        self._first_bad_step = torch.full(
            (), math.inf, dtype=torch.float64, device=self._parameters[0].device
        )

    @property
    def lr(self) -> float:
        """The learning rate of the last update."""
        return float(self._torch.param_groups[0]["lr"])

    def add_gradient_of(self, rows: Tensor, parameter: Tensor) -> None:
        """From now on, adds the gradient of a leaf to that of the parameter whose memory it shares."""
        self._looked_up.append((parameter, rows))

    def update(self, loss: Tensor, lr_factor: float, step: int) -> Tensor:
        """Clips the gradients and updates the weights, unless the loss or the gradient is not finite.

        Once it was not, no further update is made.

        Args:
            loss: What the gradients are of.
            lr_factor: The schedule's.
            step: The number of this update, which a divergence is reported with.

        Returns:
            The global norm of the gradients before clipping, a scalar on the device.
        """
        for p, rows in self._looked_up:
            if p.grad is not None and rows.grad is not None:
                p.grad.add_(rows.grad)
            rows.grad = None
        sparse = [(p, p.grad.coalesce()) for p in self._parameters if p.grad is not None and p.grad.is_sparse]
        for p, _ in sparse:
            p.grad = None
        dense = [p.grad for p in self._parameters if p.grad is not None]
        norm = global_norm(dense + [gradient.values() for _, gradient in sparse]).float()
        is_bad = ~torch.isfinite(norm + loss.detach())
        this_step = self._first_bad_step.new_full((), step)
        self._first_bad_step = torch.where(
            is_bad, self._first_bad_step.minimum(this_step), self._first_bad_step
        )
        self._torch.found_inf = torch.isfinite(self._first_bad_step).float()
        if self._max_grad_norm is not None:
            self._torch.grad_scale = (norm / self._max_grad_norm).clamp(min=1.0)
        for group in self._torch.param_groups:
            group["lr"] = self._base_lr * lr_factor
        self._torch.step()
        for p, gradient in sparse:
            self._update_rows(p, gradient)
        self._torch.zero_grad(set_to_none=True)
        return norm

    def clipped(self, norm: Tensor) -> Tensor:
        """The global norm of gradients after clipping, given that before."""
        return norm if self._max_grad_norm is None else norm.clamp(max=self._max_grad_norm)

    @torch.no_grad()
    def _update_rows(self, parameter: Tensor, gradient: Tensor) -> None:
        if self.diverged_at() is None:
            scale = 1.0 if self._max_grad_norm is None else float(self._torch.grad_scale)
            parameter.index_add_(0, gradient.indices()[0], gradient.values(), alpha=-self.lr / scale)

    def diverged_at(self) -> int | None:
        """The first step whose loss or gradient was not finite. Waits for the device."""
        first = self._first_bad_step.item()
        return int(first) if math.isfinite(first) else None

    def state_dict(self) -> dict[str, Any]:
        """The moments, and the learning rate of the last update."""
        state: dict[str, Any] = self._torch.state_dict()
        return {"moments": {str(i): tensors for i, tensors in state["state"].items()}, "lr": self.lr}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues with moments that ``state_dict`` gave."""
        template = self._torch.state_dict()
        # Cloned, since torch would go on with the very tensors it is given.
        template["state"] = {
            int(i): {key: None if tensor is None else tensor.clone() for key, tensor in tensors.items()}
            for i, tensors in state["moments"].items()
        }
        for group in template["param_groups"]:
            group["lr"] = state["lr"]
        self._torch.load_state_dict(template)
