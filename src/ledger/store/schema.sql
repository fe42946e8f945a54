-- The ledger's tables, first form. Amounts are thousandths of an ACU; instants are microseconds since 1970, UTC.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Whose spending: names as they were when it began.
CREATE TABLE payers (
    id INTEGER PRIMARY KEY,
    organization TEXT NOT NULL,
    team TEXT NOT NULL,
    caller TEXT NOT NULL,
    UNIQUE (organization, team, caller)
);

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    bare TEXT NOT NULL UNIQUE,
    payer INTEGER NOT NULL REFERENCES payers (id),
    hold BLOB,                          -- the hold it was created under; none of a child
    cap INTEGER,                        -- whole ACUs
    parent TEXT,
    origin TEXT NOT NULL,               -- created, adopted, child
    wakes INTEGER NOT NULL DEFAULT 0,   -- how many there have been
    usage INTEGER NOT NULL DEFAULT 0,   -- the highest that was read
    rest TEXT,                          -- JSON: the last reading that saw it at rest
    missing INTEGER NOT NULL DEFAULT 0, -- milliseconds of polls that did not find it
    ended INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX sessions_by_payer ON sessions (payer, id);
CREATE INDEX sessions_by_hold ON sessions (hold) WHERE hold IS NOT NULL;

-- Each create, each message, each spend without a cap.
CREATE TABLE wakes (
    hold BLOB PRIMARY KEY,
    session INTEGER REFERENCES sessions (id),
    number INTEGER NOT NULL,
    payer INTEGER NOT NULL REFERENCES payers (id),
    kind TEXT NOT NULL,                 -- create, message, uncapped
    operation TEXT NOT NULL,
    at INTEGER NOT NULL,
    held INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,                -- out, unknown, open, closed, released
    answered INTEGER,                   -- the tick of its answer
    deadline INTEGER NOT NULL,          -- milliseconds on the clock that does not jump, of this start of the process
    absent INTEGER,                     -- the tick of the first listing that should have had it and had not
    fingerprint BLOB NOT NULL,
    text BLOB                           -- of a message: the digest of its text
) WITHOUT ROWID;
CREATE INDEX wakes_open ON wakes (session, number) WHERE state IN ('out', 'unknown', 'open');
CREATE INDEX wakes_unsure ON wakes (state) WHERE state IN ('out', 'unknown');

-- What all entries of a payer in a slot of 15 minutes add up to.
CREATE TABLE tallies (
    payer INTEGER NOT NULL REFERENCES payers (id),
    slot INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    held INTEGER NOT NULL,
    overrun INTEGER NOT NULL DEFAULT 0,
    unheld INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (payer, slot)
) WITHOUT ROWID;

-- Every entry, in order; never changed. Each line's chain is a digest over itself and the line before.
CREATE TABLE history (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,                -- when it was written
    cause TEXT NOT NULL,
    hold BLOB,
    session TEXT,
    payer INTEGER,
    instant INTEGER,                    -- when it counts
    spent INTEGER NOT NULL,
    held INTEGER NOT NULL,
    note TEXT,
    chain BLOB NOT NULL
);

-- Raises and corrections of budgets: who, when, why.
CREATE TABLE adjustments (
    id INTEGER PRIMARY KEY,
    budget TEXT NOT NULL,
    scope TEXT,                         -- one account of a budget that is split: the caller's, team's or organization's name
    acus INTEGER NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER,                      -- none: counts in the window that holds `at`
    who TEXT NOT NULL,
    why TEXT NOT NULL
);

-- How far each organization has been swept.
CREATE TABLE sweeps (organization TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
