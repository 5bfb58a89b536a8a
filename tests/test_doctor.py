"""`understudy doctor`: what it says of this machine, what it never says, and its estimates."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from typer.testing import CliRunner

from understudy.distill import doctor
from understudy.distill.bases import BASES, DEFAULT_BASE, GIB, MACHINES, PORTUGUESE_BASE
from understudy.distill.commands import distill as cli_distill
from understudy.distill.commands import doctor as cli_doctor
from understudy.distill.defaults import EXTRAS
from understudy.distill.fits import fit
from understudy.distill.training.hardware import USABLE, Hardware
from understudy.store import file_systems

HAS_TORCH = importlib.util.find_spec("torch") is not None
CPU = Hardware(device="cpu", name="a CPU", bf16=False, memory=8 * GIB)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs doctor in an empty folder: (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command("doctor")(cli_doctor.doctor)
    app.command("distill")(cli_distill.distill)  # one command alone would go without its name

    def invoke(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["doctor", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return invoke


@pytest.fixture
def small_install(monkeypatch):
    """As if no extra were installed."""
    for name in doctor.PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)


def test_in_the_small_install_it_says_what_is_missing_and_the_command_that_adds_it(
    run, small_install
):
    status, told, _ = run()
    assert status == 0
    assert "no torch and no psutil: no GPU was looked for; a CPU is assumed" in told
    everything = ",".join(sorted(set(EXTRAS.values())))
    assert f'install "understudy[{everything}]"' in told
    assert "student lacks bitsandbytes" in told
    if doctor.memory():  # without psutil, Windows does not tell
        assert "time not known" in told or "do not fit" in told


def test_it_says_which_student_to_begin_with_and_marks_what_is_recomputed():
    students = doctor._students(replace(CPU, memory=32 * GIB), 1e11, 1000, 400)
    told = list(cli_doctor._student_lines({"students": students, "rows": 1000, "tokens": 400}))
    assert f"           begin with {DEFAULT_BASE} or, for Portuguese, {PORTUGUESE_BASE}" in told
    marked = [line for line in told if "GiB* about" in line]
    assert len(marked) == sum(one["recomputed"] and one["fits"] for one in students) > 0
    tiny = doctor._students(replace(CPU, memory=GIB // 4), None, 1000, 400)
    told = list(cli_doctor._student_lines({"students": tiny, "rows": 1000, "tokens": 400}))
    assert f"           {len(BASES)} others do not fit (--json lists them)" in told
    assert not any("begin with" in line for line in told)


def test_the_json_is_one_object_with_all_of_it(run, small_install):
    status, told, _ = run("--json", "--rows", "7", "--tokens", "9")
    found = json.loads(told)
    assert status == 0
    assert found["problems"] == []
    assert (found["rows"], found["tokens"]) == (7, 9)
    known = [base.name for base in BASES] if doctor.memory() else []
    assert [one["base"] for one in found["students"]] == known
    assert found["sqlite"] == {"version": sqlite3.sqlite_version, "lack": None}
    assert found["store"]["disk_free"] > 0
    assert found["device"]["lack"]
    assert all(one["seconds"] is None for one in found["students"])  # nothing was timed


def test_no_value_of_the_environment_is_said(run, small_install, monkeypatch):
    for name in doctor.KEYS:
        monkeypatch.setenv(name, f"secret-of-{name.lower()}")
    monkeypatch.setenv("ACME_API_KEY", "secret-of-acme")
    monkeypatch.setenv("LANGSMITH_PROJECT", "secret-project")
    for arguments in ((), ("--json",)):
        status, told, lack = run(*arguments)
        assert status == 0
        assert "secret" not in told + lack
        assert "ACME" not in told
        assert all(name in told for name in doctor.KEYS)


def test_a_key_that_is_empty_counts_as_not_set(run, small_install, monkeypatch):
    for name in doctor.KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("HF_TOKEN", "x")
    keys = json.loads(run("--json")[1])["keys"]
    assert [name for name, there in keys.items() if there] == ["HF_TOKEN"]


@pytest.mark.skipif(
    importlib.util.find_spec("langchain_openai") is None, reason="needs the extra teachers"
)
def test_the_keys_of_the_providers_that_come_with_the_extra_are_known():
    from langchain_openai import AzureChatOpenAI, ChatOpenAI

    from understudy.chains.providers import key_variables

    azure = AzureChatOpenAI(
        azure_endpoint="http://127.0.0.1:9",
        api_version="1",
        azure_deployment="m",
        api_key=SecretStr("k"),
    )
    for model in (ChatOpenAI(model="m", api_key=SecretStr("k")), azure):
        assert key_variables(model)
        assert set(key_variables(model)) <= set(doctor.KEYS)


def test_tracing_that_is_on_is_said(run, small_install, monkeypatch):
    from langsmith import utils

    forget: Any = utils.get_env_var

    monkeypatch.setenv("LANGSMITH_TRACING_V2", "true")
    forget.cache_clear()
    try:
        assert "LangSmith ON: prompts and answers leave this machine" in run()[1]
        monkeypatch.setenv("LANGSMITH_TRACING_V2", "false")
        forget.cache_clear()
        assert "LangSmith off" in run()[1]
    finally:
        forget.cache_clear()


def test_a_store_of_this_disk_takes_a_write_ahead_log_and_nothing_is_left_there(
    run, small_install, tmp_path
):
    found = json.loads(run("--json", "--store", "made/later/app.db")[1])["store"]
    assert found["write_ahead_log"] is True
    assert found["exists"] is False
    assert found["path"] == str(Path.cwd() / "made/later/app.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's table of mounts")
def test_a_store_on_a_network_drive_has_no_write_ahead_log(
    run, small_install, tmp_path, monkeypatch, tmp_path_factory
):
    mounts = tmp_path_factory.mktemp("proc") / "mountinfo"
    mounts.write_text("1 0 0:1 / / rw - nfs4 server:/share rw\n")
    monkeypatch.setattr(file_systems, "MOUNTS", mounts)
    status, told, _ = run()
    assert status == 0
    assert "no write-ahead log on this drive of type nfs4" in told


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write")
def test_a_folder_that_cannot_be_written_is_exit_status_1(run, small_install):
    status, told, lack = run("--store", "/proc/app.db")
    assert status == 1
    assert "understudy: /proc cannot be written; give --store a path in another folder" in lack
    assert "students" in told  # the rest is said all the same


def test_a_sqlite_that_is_too_old_is_exit_status_1(run, small_install, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
    status, told, lack = run("--json")
    assert status == 1
    assert "this Python's SQLite is 3.31.1 and the store needs" in lack
    assert json.loads(told)["problems"] == [json.loads(told)["sqlite"]["lack"]]


@pytest.mark.parametrize("off", [-1, 1])
def test_a_python_that_is_too_new_or_too_old_is_exit_status_1(run, small_install, monkeypatch, off):
    minor = sys.version_info[1] + off
    monkeypatch.setattr(doctor, "PYTHONS", ((3, minor), (3, minor + 1)))
    status, _, lack = run()
    assert status == 1
    assert f"understudy takes 3.{minor} to 3.{minor}: make an environment with one of those" in lack


def test_the_pythons_are_those_of_the_package():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    (first, second) = doctor.PYTHONS
    assert f'requires-python = ">=3.{first[1]},<3.{second[1]}"' in text


@pytest.mark.skipif(not HAS_TORCH, reason="needs the extra train")
def test_with_torch_it_says_the_device_its_precision_and_an_estimate_of_time(run):
    found = json.loads(run("--json")[1])
    device = found["device"]
    assert device["lack"] is None
    assert device["device"] in {"cpu", "cuda", "mps"}
    assert device["choice"].startswith(f"{device['name']}: ")
    assert device["operations_per_second"] > 1e8
    seconds = [one["seconds"] for one in found["students"]]
    assert all(one > 0 for one in seconds)
    rate = device["operations_per_second"]
    first = fit(BASES[0], Hardware(**_of(device)), rate=rate)
    assert first.seconds == pytest.approx(seconds[0], rel=1e-6)


def _of(device: dict[str, Any]) -> dict[str, Any]:
    return {
        "device": device["device"],
        "name": device["name"],
        "bf16": "bf16" in device["choice"].split(",")[0],
        "memory": device["memory"],
        "bitsandbytes": frozenset(device["bitsandbytes"]),
    }


@pytest.mark.skipif(os.name == "nt", reason="without psutil, Windows does not tell")
def test_memory_is_what_the_machine_has():
    found = doctor.memory()
    assert found is not None
    if importlib.util.find_spec("psutil"):
        import psutil

        assert 0 < found <= psutil.virtual_memory().total + 2**20


def test_uv_is_named_where_the_environment_has_no_pip(monkeypatch, tmp_path):
    assert doctor.install_command(["train", "serve"]).endswith(' install "understudy[train,serve]"')
    tool = tmp_path / ("uv.exe" if os.name == "nt" else "uv")
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pip", None)
    assert doctor.install_command(["train"]) == 'uv pip install "understudy[train]"'


# Widths of queries, of keys and values, and the norms of a layer, from each family's config.
ATTENTION = {
    "HuggingFaceTB/SmolLM2-135M": (576, 192, 2 * 576),
    "google/gemma-3-270m": (1024, 256, 4 * 640 + 2 * 256),
    "HuggingFaceTB/SmolLM2-360M": (960, 320, 2 * 960),
    "Polygl0t/Tucano2-qwen-0.5B-Instruct": (2048, 1024, 2 * 1024 + 2 * 128),
    "Qwen/Qwen3-0.6B": (2048, 1024, 2 * 1024 + 2 * 128),
    "google/gemma-3-1b-it": (1024, 256, 4 * 1152 + 2 * 256),
    "meta-llama/Llama-3.2-1B": (2048, 512, 2 * 2048),
    "HuggingFaceTB/SmolLM2-1.7B": (2048, 2048, 2 * 2048),
    "Qwen/Qwen3-1.7B": (2048, 1024, 2 * 2048 + 2 * 128),
    "HuggingFaceTB/SmolLM3-3B": (2048, 512, 2 * 2048),
    "meta-llama/Llama-3.2-3B": (3072, 1024, 2 * 3072),
    "Qwen/Qwen3-4B": (4096, 1024, 2 * 2560 + 2 * 128),
    "Qwen/Qwen3-8B": (4096, 1024, 2 * 4096 + 2 * 128),
}


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_the_layers_of_a_base_add_up_to_its_parameters(base):
    queries, keys, norms = ATTENTION[base.name]
    shape = base.shape
    attention = 2 * shape.hidden * (queries + keys)
    layer = attention + 3 * shape.hidden * shape.intermediate + norms
    tables = (1 if base.tied else 2) * shape.vocabulary * shape.hidden
    assert tables + shape.layers * layer + shape.hidden == shape.parameters


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.name)
def test_every_base_names_its_sources_and_a_gated_one_its_page(base):
    assert all(link.startswith("https://") for link in base.sources)
    assert base.page == f"https://huggingface.co/{base.name}"
    assert base.gated == (base.licence != "Apache-2.0")


def test_the_bases_are_in_order_of_size_and_the_defaults_are_among_them():
    sizes = [base.shape.parameters for base in BASES]
    assert sizes == sorted(sizes)
    assert {DEFAULT_BASE, PORTUGUESE_BASE} <= {base.name for base in BASES}


@settings(deadline=None, max_examples=60)
@given(
    base=st.sampled_from(BASES),
    machine=st.sampled_from(MACHINES),
    memory=st.integers(GIB // 2, 100 * GIB),
    tokens=st.integers(1, 5000),
)
def test_what_fits_keeps_to_the_memory_and_more_memory_never_fits_less(
    base, machine, memory, tokens
):
    hardware = replace(machine.hardware, memory=memory)
    found = fit(base, hardware, tokens=tokens, rate=machine.rate)
    more = fit(base, replace(hardware, memory=2 * memory), tokens=tokens, rate=machine.rate)
    assert 8 % found.rows_at_once == 0
    assert found.fits == (found.memory <= USABLE * memory and tokens <= base.context)
    assert more.fits or not found.fits
    assert more.rows_at_once >= found.rows_at_once or not more.fits
    assert found.seconds is not None
    assert found.seconds > 0


def test_twice_the_rows_take_twice_the_time_and_the_same_memory():
    once = fit(BASES[0], CPU, rows=1000, rate=1e11)
    twice = fit(BASES[0], CPU, rows=2000, rate=1e11)
    assert twice.memory == once.memory
    assert once.seconds is not None
    assert twice.seconds == pytest.approx(2 * once.seconds)


def test_rows_longer_than_the_context_do_not_fit():
    tucano = next(base for base in BASES if base.name == PORTUGUESE_BASE)
    large = replace(CPU, memory=1000 * GIB)
    assert fit(tucano, large, tokens=4096).fits
    assert not fit(tucano, large, tokens=4097).fits


def test_where_nf4_does_not_work_the_base_takes_more():
    mac = next(machine for machine in MACHINES if machine.hardware.device == "mps")
    nf4 = replace(mac.hardware, bitsandbytes=frozenset({"nf4"}))
    assert fit(BASES[-1], mac.hardware).memory > 2 * fit(BASES[-1], nf4).memory
