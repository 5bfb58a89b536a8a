"""What works on this machine: it is tried, or read from the system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...chains.student.quiet import quiet


def bitsandbytes_works(device: str) -> frozenset[str]:
    """What of bitsandbytes works: it is tried on a few numbers, since builds differ."""
    works = set()
    with quiet():
        for name, attempt in (("nf4", _try_nf4), ("int8", _try_int8), ("optimizers", _try_adam)):
            try:
                attempt(device)
            except Exception:  # noqa: BLE001 - whatever it is, it does not work here
                continue
            works.add(name)
    return frozenset(works)


def _try_nf4(device: str) -> None:
    import torch
    from bitsandbytes import functional

    quantised, state = functional.quantize_4bit(torch.ones(64, 64, device=device), quant_type="nf4")
    functional.dequantize_4bit(quantised, state)


def _try_int8(device: str) -> None:
    import torch
    from bitsandbytes.nn.modules import Linear8bitLt

    layer: Any = Linear8bitLt(64, 64, bias=False, has_fp16_weights=False)
    layer.to(device)(torch.ones(2, 64, device=device, dtype=torch.float16))


def _try_adam(device: str) -> None:
    import torch
    from bitsandbytes.optim.adamw import AdamW32bit

    weight = torch.nn.Parameter(torch.ones(64, 64, device=device))
    weight.grad = torch.ones_like(weight)
    optimizer: Any = AdamW32bit([weight], lr=1e-3)  # type: ignore[no-untyped-call]
    optimizer.step()


def flash_attention_works() -> bool:
    """Whether the package is there and the GPU has what it needs."""
    import torch
    from transformers.utils.import_utils import is_flash_attn_2_available

    return bool(is_flash_attn_2_available()) and torch.cuda.get_device_capability(0) >= (8, 0)


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware: AVX512-BF16, AMX or Arm's bf16."""
    import torch

    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        asked = getattr(torch.cpu, name, None)
        if asked is not None and asked():
            return True
    told = Path("/proc/cpuinfo")
    lines = told.read_text(errors="replace").splitlines() if told.is_file() else []
    return any(line.startswith("Features") and "bf16" in line.split() for line in lines)


def ram() -> int:
    """Bytes of memory that this process may use: a container's limit where there is one."""
    import psutil

    total = int(psutil.virtual_memory().total)
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdigit() else total
