BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'understudy','m001_examples_runs_records','2026-11-25 12:21:22.701331+00:00');
CREATE TABLE examples (
    position integer primary key,
    task text not null,
    id text not null,
    split text not null,
    inputs text not null,
    gold text,
    "group" text,
    unique (task, id)
) strict
;
INSERT INTO "examples" VALUES(1,'news','517b753afafe1d1a','train','{"f1":"As vendas caíram."}','{"f1":{"emocao":"Medo"}}','g1');
INSERT INTO "examples" VALUES(2,'news','878fa71a7d85a8aa','test','{"f1":"O lucro subiu; \"muito\"."}',NULL,NULL);
INSERT INTO "examples" VALUES(3,'news','aee58ceaf4163dad','train','{"f1":"Nada mudou 🙂"}',NULL,NULL);
CREATE TABLE records (
    run text not null references runs (id),
    task text not null,
    example text not null,
    reasoning text,
    answer text,
    raw text,
    error text,
    attempts integer not null,
    input_tokens integer,
    output_tokens integer,
    cost real,
    seconds real not null,
    confidence text,
    model text,
    created text not null,
    primary key (run, example),
    foreign key (task, example) references examples (task, id)
) strict
;
INSERT INTO "records" VALUES('8e8e33485c2861f0','news','aee58ceaf4163dad',NULL,NULL,NULL,'TimeoutError: no reply',2,NULL,NULL,NULL,0.0,NULL,NULL,'2026-11-01T00:00:02+00:00');
INSERT INTO "records" VALUES('8e8e33485c2861f0','news','517b753afafe1d1a','caíram indica queda','{"f1":{"emocao":"Medo"}}','{}',NULL,1,10,5,0.25,1.5,'{"f1.emocao":0.75}','gpt-4-0613','2026-11-01T00:00:01+00:00');
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
INSERT INTO "runs" VALUES(1,'8e8e33485c2861f0','teacher','news','teacher','gpt-4','answer','reason_label','wwwwwwwwwwwwwwww','aaaaaaaaaaaaaaaa','{"temperature":0.5}','{"understudy":"0.1.0"}','2026-11-01T00:00:00+00:00','2026-11-01T00:00:03+00:00');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX examples_by_split on examples (task, split, position);
CREATE INDEX runs_by_task on runs (task, role, started);
COMMIT;
