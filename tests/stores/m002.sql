BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
CREATE TABLE examples (
    position integer primary key,
    task text not null,
    id text not null,
    split text not null,
    inputs text not null,
    gold text,
    "group" text, gold_by text,
    unique (task, id)
) strict
;
CREATE TABLE runs (
    position integer primary key,
    id text not null unique,
    name text not null,
    task text not null,
    role text not null,
    model text not null,
    strategy text not null,
    target text not null,
    words text not null,
    answers text not null,
    parameters text not null,
    versions text not null,
    started text not null,
    finished text
) strict
;
CREATE TABLE "records" (
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
;
CREATE TABLE words (
    fingerprint text primary key,
    kind text not null,
    text text not null
) strict
;
CREATE TABLE terms (
    model text primary key,
    licence text,
    note text not null,
    source text,
    noted text not null
) strict
;
CREATE TABLE flags (
    rule text not null,
    example integer not null references examples (position),
    run integer references runs (position),
    score real,
    detail text not null,
    created text not null,
    primary key (rule, example)
) strict, without rowid
;
CREATE TABLE filters (
    task text not null,
    rule text not null,
    since text not null,
    primary key (task, rule)
) strict, without rowid
;
CREATE TABLE reviews (
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
;
CREATE TABLE trainings (
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
;
CREATE TABLE lessons (
    training integer not null references trainings (number),
    record integer not null references records (number),
    primary key (training, record)
) strict, without rowid
;
INSERT INTO "_sqlite_migrations" VALUES(1,'understudy','m001_examples_runs_records','2026-11-25 12:21:22.701331+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'understudy','m002_people_and_provenance','2026-11-25 17:31:55.263578+00:00');
INSERT INTO "examples" VALUES(1,'news','517b753afafe1d1a','train','{"f1":"As vendas caíram."}','{"mood":"worried"}','g1','Ana');
INSERT INTO "examples" VALUES(2,'news','878fa71a7d85a8aa','test','{"f1":"O lucro subiu; \"muito\"."}',NULL,NULL,NULL);
INSERT INTO "examples" VALUES(3,'news','aee58ceaf4163dad','train','{"f1":"Nada mudou 🙂"}',NULL,NULL,NULL);
INSERT INTO "examples" VALUES(4,'moods','bdd541936afb9afa','train','{"text":"O preço do pão subiu."}',NULL,NULL,NULL);
INSERT INTO "examples" VALUES(5,'moods','c50f6db5747076dd','train','{"text":"A cidade festejou."}',NULL,NULL,NULL);
INSERT INTO "examples" VALUES(6,'moods','a37b9c86c5ab58c3','train','{"text":"Choveu na serra."}','{"mood":"calm"}',NULL,NULL);
INSERT INTO "examples" VALUES(7,'moods','59c8b342cb7fc191','test','{"text":"<script>alert(''x'')</script> [bold red]não[/] \u001b[31m ‮abc & <b>"}',NULL,NULL,NULL);
INSERT INTO "runs" VALUES(1,'8e8e33485c2861f0','teacher','news','teacher','gpt-4','answer','reason_label','wwwwwwwwwwwwwwww','aaaaaaaaaaaaaaaa','{"temperature":0.5}','{"understudy":"0.1.0"}','2026-11-01T00:00:00+00:00','2026-11-01T00:00:03+00:00');
INSERT INTO "runs" VALUES(2,'59eee9096a6091f0','teacher','moods','teacher','wise-1','answer','reason_label','14c08a35ba889293','6a42ebd87645c61d','{"temperature":0.5}','{"understudy":"0.1"}','2026-01-01T00:00:00+00:00',NULL);
INSERT INTO "runs" VALUES(3,'c4d8848359cac012','small','moods','student','runs/small','answer','label','14c08a35ba889293','6a42ebd87645c61d','{"temperature":0.5}','{"understudy":"0.1"}','2026-01-01T00:00:00+00:00',NULL);
INSERT INTO "records" VALUES(1,1,3,NULL,NULL,NULL,'TimeoutError: no reply',2,NULL,NULL,NULL,NULL,NULL,0.0,NULL,NULL,NULL,NULL,'2026-11-01T00:00:02+00:00');
INSERT INTO "records" VALUES(2,1,1,'caíram indica queda','{"f1":{"emocao":"Medo"}}','{}',NULL,1,10,5,NULL,NULL,0.25,1.5,'{"f1.emocao":0.75}',NULL,NULL,'gpt-4-0613','2026-11-01T00:00:01+00:00');
INSERT INTO "records" VALUES(3,2,4,'O pão ficou caro.','{"mood":"angry"}',NULL,NULL,2,100,20,NULL,NULL,0.25,1.5,NULL,'{"mood":{"\"angry\"":2,"\"calm\"":1}}',NULL,'wise-1-x','2026-01-02T00:00:00+00:00');
INSERT INTO "records" VALUES(4,2,5,'Houve festa na praça.','{"mood":"happy"}',NULL,NULL,2,100,20,NULL,NULL,0.25,1.5,NULL,NULL,NULL,NULL,'2026-01-02T00:00:00+00:00');
INSERT INTO "records" VALUES(5,2,6,NULL,NULL,'I cannot say','no JSON',2,100,20,NULL,NULL,0.25,1.5,NULL,NULL,NULL,NULL,'2026-01-02T00:00:00+00:00');
INSERT INTO "records" VALUES(6,2,7,'<script>alert(''x'')</script> [bold red]não[/] [31m ‮abc & <b>','{"mood":"calm"}',NULL,NULL,2,100,20,NULL,NULL,NULL,1.5,NULL,NULL,NULL,NULL,'2026-01-02T00:00:00+00:00');
INSERT INTO "records" VALUES(7,3,4,NULL,'{"mood":"angry"}',NULL,NULL,2,100,20,NULL,NULL,NULL,1.5,'{"mood":0.9}',NULL,NULL,NULL,'2026-01-02T00:00:00+00:00');
INSERT INTO "records" VALUES(8,3,5,NULL,'{"mood":"sad"}',NULL,NULL,2,100,20,NULL,NULL,NULL,1.5,'{"mood":0.4}',NULL,NULL,NULL,'2026-01-02T00:00:00+00:00');
INSERT INTO "words" VALUES('14c08a35ba889293','prompt','[{"format":"f-string","role":"human","text":"How does {text} feel?"}]');
INSERT INTO "words" VALUES('6a42ebd87645c61d','schema','{"type": "object"}');
INSERT INTO "terms" VALUES('wise-1','CC0','may be trained on',NULL,'2026');
INSERT INTO "flags" VALUES('duplicate',2,1,0.75,'{"of":"x"}','2026-01-04');
INSERT INTO "filters" VALUES('moods','duplicate','2026-01-05');
INSERT INTO "reviews" VALUES(1,1,1,'correct','Ana','{"mood":"worried"}',NULL,NULL,NULL,'2026-01-04',NULL);
INSERT INTO "trainings" VALUES(1,'/runs/small','small','moods','embedded','label',2,'abababababababababababababababababababababababababababababababab',7,'2026-01-03');
INSERT INTO "lessons" VALUES(1,3);
INSERT INTO "lessons" VALUES(1,4);
CREATE VIEW example_texts as select position, (select group_concat(value, char(10)) from json_each(examples.inputs)) as text from examples;
CREATE VIEW labels as select r.number, e.task, e.split, e.id as example, e.inputs, e.gold, e.gold_by, u.role, u.name as run_name, u.id as run, u.model, u.strategy, u.target, r.reasoning, r.answer, r.error, r.confidence, r.votes, r.attempts, r.input_tokens, r.output_tokens, r.cost, r.seconds, r.created from records r join examples e on e.position = r.example join runs u on u.position = r.run;
CREATE VIEW failures as select r.number, e.task, e.split, e.id as example, u.name as run_name, u.id as run, u.model, r.error, r.attempts, r.cost, r.raw, r.created from records r join examples e on e.position = r.example join runs u on u.position = r.run where r.answer is null;
CREATE VIEW disagreements as select s.number, e.task, e.split, e.id as example, e.inputs, su.name as student, su.id as run, s.answer as student_answer, s.confidence, tu.model as teacher, tu.id as teacher_run, t.answer as teacher_answer, t.reasoning as teacher_reasoning, e.gold from runs su cross join runs tu on tu.task = su.task and tu.answers = su.answers and tu.role = 'teacher' cross join records s on s.run = su.position cross join records t on t.run = tu.position and t.example = s.example join examples e on e.position = s.example where su.role = 'student' and s.answer <> t.answer;
CREATE VIEW corrections as select v.id, e.task, e.split, e.id as example, e.inputs, v.verdict, v.reviewer, u.model as answered_by, v.answer, v.reasoning, v.gold_before, v.gold_by_before, v.created from reviews v join examples e on e.position = v.example left join runs u on u.position = v.run where v.undone is null;
CREATE VIRTUAL TABLE examples_fts using fts5 (text, content = 'example_texts', content_rowid = 'position', tokenize = 'unicode61 remove_diacritics 2');
CREATE VIRTUAL TABLE records_fts using fts5 (reasoning, content = 'records', content_rowid = 'number', tokenize = 'unicode61 remove_diacritics 2');
insert into examples_fts (rowid, text) select position, text from example_texts;
insert into records_fts (records_fts) values ('rebuild');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX examples_by_split on examples (task, split, position);
CREATE INDEX runs_by_task on runs (task, role, started);
CREATE INDEX records_by_example on records (example, run);
CREATE INDEX examples_by_task on examples (task, position);
CREATE INDEX examples_by_group on examples (task, "group", split) where "group" is not null;
CREATE INDEX flags_by_example on flags (example);
CREATE INDEX reviews_by_example on reviews (example, id);
CREATE INDEX lessons_by_record on lessons (record);
CREATE INDEX records_failed on records (run, example) where answer is null;
CREATE TRIGGER examples_fts_insert after insert on examples begin insert into examples_fts (rowid, text) values (new.position, (select group_concat(value, char(10)) from json_each(new.inputs))); end;
CREATE TRIGGER examples_fts_delete after delete on examples begin insert into examples_fts (examples_fts, rowid, text) values ('delete', old.position, (select group_concat(value, char(10)) from json_each(old.inputs))); end;
CREATE TRIGGER records_fts_insert after insert on records when new.reasoning is not null begin insert into records_fts (rowid, reasoning) values (new.number, new.reasoning); end;
CREATE TRIGGER records_fts_delete after delete on records when old.reasoning is not null begin insert into records_fts (records_fts, rowid, reasoning) values ('delete', old.number, old.reasoning); end;
CREATE TRIGGER records_fts_update after update of reasoning on records begin insert into records_fts (records_fts, rowid, reasoning) select 'delete', old.number, old.reasoning where old.reasoning is not null; insert into records_fts (rowid, reasoning) select new.number, new.reasoning where new.reasoning is not null; end;
COMMIT;
