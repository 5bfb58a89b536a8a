"""What m002 makes of the first schema: the tables, indexes, full text and views of today.

Rows refer to each other by whole numbers (`position`, `number`), so that a run's records come in
the order of the examples from one index, at any size.
"""

from __future__ import annotations

# example and run are the positions of their rows; the unique index is also the order of reading
RECORDS = """
create table new_records (
    number integer primary key,
    run integer not null references runs (position),
    example integer not null references examples (position),
    reasoning text,
    answer text,
    raw text,
    error text,
    attempts integer not null,
    input_tokens integer,
    output_tokens integer,
    cached_tokens integer,
    reasoning_tokens integer,
    cost real,
    seconds real not null,
    confidence text,
    votes text,
    details text,
    model text,
    created text not null,
    unique (run, example)
) strict
"""

_KEPT = (
    "reasoning, answer, raw, error, attempts, input_tokens, output_tokens, cost, seconds, "
    "confidence, model, created"
)
_FROM_OLD = ", ".join(f"r.{name}" for name in _KEPT.split(", "))
MOVE_RECORDS = (
    f"insert into new_records (run, example, {_KEPT}) "
    f"select u.position, e.position, {_FROM_OLD} from records r join runs u on u.id = r.run "
    "join examples e on e.task = r.task and e.id = r.example order by r.rowid",
    "drop table records",
    "alter table new_records rename to records",
    "create index records_by_example on records (example, run)",
)

# Who gave the gold: null for a file, else the reviewer's name.
EXAMPLES = (
    "alter table examples add column gold_by text",
    "create index examples_by_task on examples (task, position)",
    'create index examples_by_group on examples (task, "group", split) where "group" is not null',
)

# The text behind a fingerprint of runs.words or runs.answers, kept once.
WORDS = """
create table words (
    fingerprint text primary key,
    kind text not null,
    text text not null
) strict
"""

# What a teacher's provider says on training with its outputs, as somebody noted it.
TERMS = """
create table terms (
    model text primary key,
    licence text,
    note text not null,
    source text,
    noted text not null
) strict
"""

# What a curation rule found in a row; nothing is deleted by it.
FLAGS = """
create table flags (
    rule text not null,
    example integer not null references examples (position),
    run integer references runs (position),
    score real,
    detail text not null,
    created text not null,
    primary key (rule, example)
) strict, without rowid
"""

# The rules whose rows do not teach, per task.
FILTERS = """
create table filters (
    task text not null,
    rule text not null,
    since text not null,
    primary key (task, rule)
) strict, without rowid
"""

# What people said of a row, in order; taken back is `undone`, never deleted.
REVIEWS = """
create table reviews (
    id integer primary key,
    example integer not null references examples (position),
    run integer references runs (position),
    verdict text not null check (verdict in ('accept', 'correct', 'skip')),
    reviewer text not null,
    answer text,
    reasoning text,
    gold_before text,
    gold_by_before text,
    created text not null,
    undone text
) strict
"""

TRAININGS = """
create table trainings (
    number integer primary key,
    folder text not null,
    name text not null,
    task text not null,
    base text not null,
    target text not null,
    run integer not null references runs (position),
    rows_sha256 text not null,
    seed integer not null,
    created text not null,
    unique (folder, rows_sha256)
) strict
"""

# Which records taught which student.
LESSONS = """
create table lessons (
    training integer not null references trainings (number),
    record integer not null references records (number),
    primary key (training, record)
) strict, without rowid
"""

INDEXES = (
    "create index flags_by_example on flags (example)",
    "create index reviews_by_example on reviews (example, id)",
    "create index lessons_by_record on lessons (record)",
    "create index records_failed on records (run, example) where answer is null",
)

_TEXT_OF = "(select group_concat(value, char(10)) from json_each({0}.inputs))"
_TOKENS = "tokenize = 'unicode61 remove_diacritics 2'"
FULL_TEXT = (
    f"create view example_texts as select position, {_TEXT_OF.format('examples')} as text "
    "from examples",
    "create virtual table examples_fts using fts5 "
    f"(text, content = 'example_texts', content_rowid = 'position', {_TOKENS})",
    "create virtual table records_fts using fts5 "
    f"(reasoning, content = 'records', content_rowid = 'number', {_TOKENS})",
    "create trigger examples_fts_insert after insert on examples begin "
    "insert into examples_fts (rowid, text) "
    f"values (new.position, {_TEXT_OF.format('new')}); end",
    "create trigger examples_fts_delete after delete on examples begin "
    "insert into examples_fts (examples_fts, rowid, text) "
    f"values ('delete', old.position, {_TEXT_OF.format('old')}); end",
    "create trigger records_fts_insert after insert on records "
    "when new.reasoning is not null begin "
    "insert into records_fts (rowid, reasoning) values (new.number, new.reasoning); end",
    "create trigger records_fts_delete after delete on records "
    "when old.reasoning is not null begin "
    "insert into records_fts (records_fts, rowid, reasoning) "
    "values ('delete', old.number, old.reasoning); end",
    "create trigger records_fts_update after update of reasoning on records begin "
    "insert into records_fts (records_fts, rowid, reasoning) "
    "select 'delete', old.number, old.reasoning where old.reasoning is not null; "
    "insert into records_fts (rowid, reasoning) "
    "select new.number, new.reasoning where new.reasoning is not null; end",
    # not 'rebuild': SQLite 3.40 cannot rebuild from a view
    "insert into examples_fts (rowid, text) select position, text from example_texts",
    "insert into records_fts (records_fts) values ('rebuild')",
)

VIEWS = (
    "create view labels as select r.number, e.task, e.split, e.id as example, e.inputs, e.gold, "
    "e.gold_by, u.role, u.name as run_name, u.id as run, u.model, u.strategy, u.target, "
    "r.reasoning, r.answer, r.error, r.confidence, r.votes, r.attempts, r.input_tokens, "
    "r.output_tokens, r.cost, r.seconds, r.created "
    "from records r join examples e on e.position = r.example join runs u on u.position = r.run",
    "create view failures as select r.number, e.task, e.split, e.id as example, "
    "u.name as run_name, u.id as run, u.model, r.error, r.attempts, r.cost, r.raw, r.created "
    "from records r join examples e on e.position = r.example join runs u on u.position = r.run "
    "where r.answer is null",
    "create view disagreements as select s.number, e.task, e.split, e.id as example, e.inputs, "
    "su.name as student, su.id as run, s.answer as student_answer, s.confidence, "
    "tu.model as teacher, tu.id as teacher_run, t.answer as teacher_answer, "
    "t.reasoning as teacher_reasoning, e.gold "
    # cross: in this order, whatever SQLite guesses of the sizes; runs are few
    "from runs su cross join runs tu on tu.task = su.task and tu.answers = su.answers "
    "and tu.role = 'teacher' cross join records s on s.run = su.position "
    "cross join records t on t.run = tu.position and t.example = s.example "
    "join examples e on e.position = s.example "
    "where su.role = 'student' and s.answer <> t.answer",
    "create view corrections as select v.id, e.task, e.split, e.id as example, e.inputs, "
    "v.verdict, v.reviewer, u.model as answered_by, v.answer, v.reasoning, v.gold_before, "
    "v.gold_by_before, v.created from reviews v join examples e on e.position = v.example "
    "left join runs u on u.position = v.run where v.undone is null",
)

STATEMENTS = (
    RECORDS,
    *MOVE_RECORDS,
    *EXAMPLES,
    WORDS,
    TERMS,
    FLAGS,
    FILTERS,
    REVIEWS,
    TRAININGS,
    LESSONS,
    *INDEXES,
    *FULL_TEXT,
    *VIEWS,
)
