"""Bases that a student may grow from, and machines, as their public documentation tells of them."""

from __future__ import annotations

from dataclasses import dataclass

from .training.hardware import Hardware, Shape

READ = "2026-11-25"
DEFAULT_BASE = "Qwen/Qwen3-0.6B"
PORTUGUESE_BASE = "Polygl0t/Tucano2-qwen-0.5B-Instruct"
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base of the Hugging Face hub; `context` in tokens, `tied` where one table of embeddings
    reads and writes.

    `portuguese` says what its card says of Portuguese, `sources` what was read on `READ`, and
    `unchecked` what was not found there. No weights were loaded.
    """

    name: str
    shape: Shape
    context: int
    licence: str
    languages: str
    portuguese: str
    sources: tuple[str, ...]
    tied: bool = True
    gated: bool = False
    unchecked: str = ""

    @property
    def page(self) -> str:
        """Its page, where a gated base is asked for."""
        return f"https://huggingface.co/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A kind of machine; `rate` in operations a second, as its maker names it or as assumed."""

    name: str
    hardware: Hardware
    rate: float
    source: str


def _shape(parameters: int, layers: int, hidden: int, intermediate: int, vocabulary: int) -> Shape:
    return Shape(
        parameters=parameters,
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        vocabulary=vocabulary,
    )


_APACHE = "Apache-2.0"
_LLAMA = "Llama 3.2 Community License"
_GEMMA = "Gemma Terms of Use"
_QWEN = "https://qwenlm.github.io/blog/qwen3/"
_WIDTHS = "its widths; they add up to the size in its name"
_SMOL2 = ("https://huggingface.co/HuggingFaceTB/SmolLM2-135M",)
_EIGHT = "English, German, French, Italian, Portuguese, Hindi, Spanish, Thai"

BASES: tuple[Base, ...] = (
    Base(
        name="HuggingFaceTB/SmolLM2-135M",
        shape=_shape(134_515_008, 30, 576, 1536, 49_152),
        context=8192,
        licence=_APACHE,
        languages="English",
        portuguese="no",
        sources=_SMOL2,
    ),
    Base(
        name="google/gemma-3-270m",
        shape=_shape(268_098_176, 18, 640, 2048, 262_144),
        context=32_768,
        licence=_GEMMA,
        gated=True,
        languages="over 140",
        portuguese="not named",
        sources=("https://huggingface.co/google/gemma-3-270m",),
        unchecked=_WIDTHS,
    ),
    Base(
        name="HuggingFaceTB/SmolLM2-360M",
        shape=_shape(361_821_120, 32, 960, 2560, 49_152),
        context=8192,
        licence=_APACHE,
        languages="English",
        portuguese="no",
        sources=_SMOL2,
    ),
    Base(
        name=PORTUGUESE_BASE,
        shape=_shape(490_799_104, 28, 1024, 3072, 49_152),
        context=4096,
        licence=_APACHE,
        languages="Portuguese",
        portuguese="made for it",
        sources=(
            "https://huggingface.co/Polygl0t/Tucano2-qwen-0.5B-Instruct",
            "https://arxiv.org/abs/2603.03543",
        ),
        unchecked="its widths: those of Qwen3-0.6B, from which it grew, with the vocabulary that "
        "gives the count on the card of Tucano2-qwen-0.5B-Base, where count and context were read",
    ),
    Base(
        name=DEFAULT_BASE,
        shape=_shape(596_049_920, 28, 1024, 3072, 151_936),
        context=32_768,
        licence=_APACHE,
        languages="119",
        portuguese="one of its 119",
        sources=(_QWEN, "https://docs.m5stack.com/en/stackflow/models/qwen3-0.6b"),
        unchecked="its own card",
    ),
    Base(
        name="google/gemma-3-1b-it",
        shape=_shape(999_885_952, 26, 1152, 6912, 262_144),
        context=32_768,
        licence=_GEMMA,
        gated=True,
        languages="over 140",
        portuguese="not named",
        sources=("https://huggingface.co/google/gemma-3-1b-it",),
        unchecked=_WIDTHS,
    ),
    Base(
        name="meta-llama/Llama-3.2-1B",
        shape=_shape(1_235_814_400, 16, 2048, 8192, 128_256),
        context=131_072,
        licence=_LLAMA,
        gated=True,
        languages=_EIGHT,
        portuguese="officially supported",
        sources=("https://huggingface.co/meta-llama/Llama-3.2-1B",),
    ),
    Base(
        name="HuggingFaceTB/SmolLM2-1.7B",
        shape=_shape(1_711_376_384, 24, 2048, 8192, 49_152),
        context=8192,
        licence=_APACHE,
        languages="English",
        portuguese="no",
        sources=_SMOL2,
        unchecked=_WIDTHS,
    ),
    Base(
        name="Qwen/Qwen3-1.7B",
        shape=_shape(1_720_574_976, 28, 2048, 6144, 151_936),
        context=32_768,
        licence=_APACHE,
        languages="119",
        portuguese="one of its 119",
        sources=(_QWEN, "https://huggingface.co/keras/qwen3_1.7b_en"),
    ),
    Base(
        name="HuggingFaceTB/SmolLM3-3B",
        shape=_shape(3_075_098_624, 36, 2048, 11_008, 128_256),
        context=131_072,
        licence=_APACHE,
        languages="English, French, Spanish, German, Italian, Portuguese",
        portuguese="one of its six",
        sources=(
            "https://huggingface.co/HuggingFaceTB/SmolLM3-3B-Base",
            "https://huggingface.co/blog/smollm3",
        ),
        unchecked=f"{_WIDTHS}. Beyond 64k tokens it needs YaRN",
    ),
    Base(
        name="meta-llama/Llama-3.2-3B",
        shape=_shape(3_212_749_824, 28, 3072, 8192, 128_256),
        context=131_072,
        licence=_LLAMA,
        gated=True,
        languages=_EIGHT,
        portuguese="officially supported",
        sources=("https://huggingface.co/meta-llama/Llama-3.2-3B",),
        unchecked="its widths; they add up to the 3.21 billion of the family's card",
    ),
    Base(
        name="Qwen/Qwen3-4B",
        shape=_shape(4_022_468_096, 36, 2560, 9728, 151_936),
        context=32_768,
        licence=_APACHE,
        languages="119",
        portuguese="one of its 119",
        sources=(_QWEN, "https://huggingface.co/Qwen/Qwen3-4B-Base"),
        unchecked=_WIDTHS,
    ),
    Base(
        name="Qwen/Qwen3-8B",
        shape=_shape(8_190_735_360, 36, 4096, 12_288, 151_936),
        tied=False,
        context=32_768,
        licence=_APACHE,
        languages="119",
        portuguese="one of its 119",
        sources=(_QWEN,),
        unchecked="its widths; they add up to the size in its name. Beyond 32,768 tokens YaRN",
    ),
)

MACHINES: tuple[Machine, ...] = (
    Machine(
        name="8 GB laptop",
        hardware=Hardware(device="cpu", name="a CPU", bf16=False, memory=8 * GIB),
        rate=0.2e12,
        source="assumed: four cores with AVX2, in float32",
    ),
    Machine(
        name="16 GB Mac",
        hardware=Hardware(
            device="mps", name="an M1", bf16=False, memory=16 * GIB, bitsandbytes=frozenset()
        ),
        rate=2.6e12,
        source="the M1's GPU in float32, as Apple names it",
    ),
    Machine(
        name="T4",
        hardware=Hardware(device="cuda", name="T4", bf16=False, memory=15 * GIB),
        rate=65e12,
        source="float16, as NVIDIA names it; the T4 of Colab, 15 GiB of it free to use",
    ),
    Machine(
        name="24 GB GPU",
        hardware=Hardware(device="cuda", name="A10", bf16=True, memory=22 * GIB),
        rate=125e12,
        source="an A10 in bfloat16, as NVIDIA names it; 22 GiB of it free to use",
    ),
    Machine(
        name="80 GB GPU",
        hardware=Hardware(device="cuda", name="A100", bf16=True, memory=79 * GIB),
        rate=312e12,
        source="an A100 in bfloat16, as NVIDIA names it; 79 GiB of it free to use",
    ),
)
