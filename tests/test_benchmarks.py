"""The quick form of each benchmark runs, and its last line holds the keys it promises."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
RECORDED = ROOT.parent / "shared" / "data"


def last_line(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", *arguments, "--quick"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def test_a_student_is_faster_than_the_stock_ways_and_always_valid():
    figures = last_line("benchmarks.student")
    ratios = ["tiny_label_x", "tiny_reason_x", "smol_label_x", "smol_reason_x"]
    stock = ["tiny_label_vs_best_stock", "smol_label_vs_best_stock"]
    rest = ["calls_per_label_row", "confidence_overhead", "valid"]
    assert list(figures) == [*ratios, *stock, *rest]
    assert figures["valid"] == 1.0
    assert figures["calls_per_label_row"] <= 9
    assert min(figures["tiny_label_x"], figures["smol_label_x"]) > 3


def test_every_random_walk_over_allowed_tokens_parses():
    assert last_line("benchmarks.soundness") == {"walks": 60, "parsed": 60}


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded e-SNLI outputs are not here")
def test_recorded_labels_train_and_are_judged_by_gold():
    figures = last_line("benchmarks.esnli", "--data", str(RECORDED))
    systems = figures["systems"]
    assert set(systems) == {"teacher", "label", "reason_label", "tfidf", "majority"}
    assert all(0 <= system["exact"] <= 1 for system in systems.values())
    assert systems["label"]["valid"] == systems["reason_label"]["valid"] == 1.0


def test_strategies_that_ask_more_are_right_more_often():
    figures = last_line("benchmarks.strategies")
    assert figures["self_consistency"] > figures["single"] < figures["vote"]
    assert max(figures["p_self_consistency"], figures["p_vote"]) < 0.05
    assert figures["calls_per_row"]["self_consistency"] == 5.0


def test_labelling_is_faster_than_the_stock_chain_and_its_books_agree():
    figures = last_line("benchmarks.label")
    assert list(figures) == ["ideal_share_1s", "speedup_50ms", "rss_growth_mb", "ledger_matches"]
    assert figures["ideal_share_1s"] > 0.4  # machines are shared
    assert figures["speedup_50ms"] >= 1.8
    assert figures["rss_growth_mb"] < 50
    assert figures["ledger_matches"] is True


def test_a_labelling_run_that_is_killed_buys_nothing_twice():
    figures = last_line("benchmarks.label_kill")
    assert figures == {"kills": 5, "lost": 0, "labelled_twice": 0, "bought_again": 0}


def test_no_run_costs_more_than_its_sum():
    figures = last_line("benchmarks.label_budget")
    assert (figures["runs"], figures["over_budget"]) == (4, 0)
    assert figures["mean_spent_share"] >= 0.85


def test_a_server_under_mixed_load_crosses_no_answers():
    figures = last_line("benchmarks.serve_soak")
    assert list(figures) == ["requests", "errors", "crossed", "rss_growth", "p95_ms"]
    assert (figures["errors"], figures["crossed"]) == (0, 0)


def test_a_training_that_is_killed_ends_with_the_same_weights():
    assert last_line("benchmarks.train_kill") == {"kills": 2, "identical": 2}


def test_the_preflight_refuses_every_planted_fault_and_nothing_sound():
    data = ["--data", str(RECORDED)] if RECORDED.is_dir() else []
    figures = last_line("benchmarks.preflight", *data)
    assert figures == {"planted": 24, "refused": 24, "false_alarms": 0}


def test_our_training_is_faster_than_the_notebooks_and_two_processes_learn_the_same():
    figures = last_line("benchmarks.train")
    speed = ["tiny_x", "tiny_same_dtype_x", "smol_x"]
    assert list(figures) == [*speed, "notebook_exact", "default_exact", "ddp_max_loss_diff"]
    assert figures["tiny_same_dtype_x"] > 1 < figures["smol_x"]
    assert figures["ddp_max_loss_diff"] <= 1e-3


def test_a_store_keeps_up_with_sqlite3_itself():
    figures = last_line("benchmarks.store")
    keys = ["ingest_share", "commit_share", "worst_query_p95_ms", "report_totals_s"]
    assert list(figures) == [*keys, "rss_growth_mb"]
    assert min(figures["ingest_share"], figures["commit_share"]) >= 0.35
    assert figures["worst_query_p95_ms"] <= 60
    assert figures["report_totals_s"] <= 3
    assert figures["rss_growth_mb"] <= 60


@pytest.mark.parametrize(
    ("step", "whole"),
    [
        ("SCAN e", True),
        ("SCAN r USING INDEX records_by_example", True),
        ("SCAN examples USING COVERING INDEX examples_by_task", True),
        ("SCAN f VIRTUAL TABLE INDEX 0:", True),
        ("SCAN f VIRTUAL TABLE INDEX 32:M1", False),
        ("SEARCH e USING INDEX examples_by_task (task=?)", False),
        ("SCAN runs", False),
    ],
)
def test_a_query_that_goes_through_a_whole_index_counts_as_a_scan(monkeypatch, step, whole):
    monkeypatch.syspath_prepend(str(ROOT))
    assert importlib.import_module("benchmarks.store_queries").reads_all(step) is whole


def test_a_store_whose_writers_are_killed_loses_nothing():
    figures = last_line("benchmarks.store_kill")
    assert figures == {"kills": 10, "corrupt": 0, "lost": 0}


def test_broken_files_are_refused_whole_and_without_a_traceback():
    figures = last_line("benchmarks.import_fuzz")
    assert figures["files"] >= 200
    assert (figures["tracebacks"], figures["half_imports"]) == (0, 0)


def test_the_review_queue_finds_wrong_labels_better_than_chance():
    figures = last_line("benchmarks.review")
    assert list(figures) == ["noise_found_in_15pct", "exact_before", "exact_after"]
    assert figures["noise_found_in_15pct"] > 0.15
    assert min(figures["exact_before"], figures["exact_after"]) > 0.05  # few rows teach little


def test_statistics_agree_with_the_libraries_and_intervals_hold():
    figures = last_line("benchmarks.statistics")
    keys = ["cases", "mismatches", "coverage_low", "coverage_high", "mcnemar_fpr"]
    assert list(figures) == keys
    assert figures["mismatches"] == 0
    assert figures["coverage_low"] > 0.88  # 150 sets a cell
    assert figures["mcnemar_fpr"] <= 0.06


def test_the_report_of_many_rows_is_made_in_little_memory():
    figures = last_line("benchmarks.report")
    assert list(figures) == ["rows", "systems", "seconds", "peak_rss_mb"]
    assert (figures["rows"], figures["systems"]) == (2000, 8)
    assert figures["peak_rss_mb"] < 600


def test_recording_loses_nothing_below_its_bound():
    figures = last_line("benchmarks.swap")
    assert list(figures) == ["p50_ms", "p99_ms", "lost_below_bound"]
    assert figures["lost_below_bound"] == 0


def test_a_calibrated_cascade_keeps_its_promise():
    figures = last_line("benchmarks.guarantee")
    keys = ["deployments", "violations", "naive_violations", "refused", "coverage_share"]
    assert list(figures) == keys
    assert figures["violations"] <= 6 < figures["naive_violations"]


def test_drift_is_found_and_quiet_weeks_are_quiet():
    figures = last_line("benchmarks.drift")
    assert list(figures) == ["detected_within", "false_alarm_rate"]
    assert figures["detected_within"]["label share + 0.2"] <= 1000
    assert figures["false_alarm_rate"] <= 0.15


def test_a_cascade_covers_more_after_it_learnt_what_it_passed_on():
    assert last_line("benchmarks.cascade")


def test_the_small_install_starts_at_once():
    figures = last_line("benchmarks.start")
    assert list(figures) == ["import_cpu_s", "help_cpu_s", "installed_mb"]
    assert figures["import_cpu_s"] < 0.3
    assert figures["help_cpu_s"] < 0.6
    assert 50 < figures["installed_mb"] < 200
