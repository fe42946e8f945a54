-- What was answered to requests with a key of their own, so that it can be answered again.
CREATE TABLE answers (
    id INTEGER PRIMARY KEY,
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL,                -- when it was begun
    fingerprint BLOB NOT NULL,
    hold BLOB NOT NULL,                 -- tells what became of it while there is no answer
    progress TEXT NOT NULL,             -- begun, answered, withheld
    status INTEGER,
    headers TEXT,                       -- JSON: [[name, value], …]
    body BLOB,
    session TEXT,                       -- of one that is withheld
    UNIQUE (caller, key)
);
CREATE INDEX answers_by_age ON answers (at);
CREATE INDEX answers_begun ON answers (hold) WHERE progress = 'begun';
