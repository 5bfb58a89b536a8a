"""What m003 adds: the apps whose chains a student stands in for, their calls, and the copies made.

A call refers to its example by the hash, not by a position: with `store_text=False` there is no
example, and its hash still says that a question was asked before.
"""

from __future__ import annotations

# One per app: which mode it is in is read by the running app, and set by `understudy mode`.
STAND_INS = """
create table stand_ins (
    number integer primary key,
    name text not null unique,
    task text not null,
    mode text not null check (mode in ('record', 'shadow', 'cascade', 'student')),
    agreement real,
    student text,
    reason text,
    changed text not null
) strict
"""

# From which calibrated confidence on a student answers; null: the data did not support any.
CALIBRATIONS = """
create table calibrations (
    number integer primary key,
    task text not null,
    student integer not null references runs (position),
    teacher integer not null references runs (position),
    agreement real not null,
    threshold real,
    calibrator text not null,
    rows integer not null,
    details text not null,
    created text not null
) strict
"""

CALLS = """
create table calls (
    number integer primary key,
    stand_in integer not null references stand_ins (number),
    example text,
    at text not null,
    answered_by text not null check (answered_by in ('teacher', 'student')),
    escalated integer not null check (escalated in (0, 1)),
    agreed integer check (agreed in (0, 1)),
    sampled integer not null check (sampled in (0, 1)),
    confidence real,
    seconds real not null,
    error text,
    labels text,
    length integer,
    input_tokens integer,
    output_tokens integer,
    cost real
) strict
"""

# Where whole copies of this store were written: what is forgotten here still stands in them.
BACKUPS = """
create table backups (
    path text primary key,
    made text not null
) strict, without rowid
"""

STATEMENTS = (
    STAND_INS,
    CALIBRATIONS,
    CALLS,
    BACKUPS,
    "create index calibrations_by_task on calibrations (task, student, number)",
    "create index calls_by_stand_in on calls (stand_in, at)",
    "create index calls_by_example on calls (example) where example is not null",
)
