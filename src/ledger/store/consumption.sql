-- Devin's own account of each organization and billing day, beside what the ledger had posted in it (L11).
CREATE TABLE consumption (
    organization TEXT NOT NULL,
    day INTEGER NOT NULL,               -- its first instant
    devin INTEGER NOT NULL,
    ledger INTEGER NOT NULL,
    PRIMARY KEY (organization, day)
) WITHOUT ROWID;

-- Organizations whose consumption cannot be read.
CREATE TABLE unread (
    organization TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    status INTEGER NOT NULL
) WITHOUT ROWID;

-- What was posted in a day, without reading all that ever was.
CREATE INDEX history_by_time ON history (at) WHERE spent <> 0;
