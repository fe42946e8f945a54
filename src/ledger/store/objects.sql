-- What goes on spending without a cap after the request that set it up (L3).
CREATE TABLE objects (
    kind TEXT NOT NULL,                 -- schedule, automation, auto-scan
    organization TEXT NOT NULL,
    object TEXT NOT NULL,
    payer INTEGER NOT NULL REFERENCES payers (id),
    acus INTEGER NOT NULL,              -- for each window
    disables INTEGER NOT NULL,          -- whether it is disabled where a window has no room for it
    charged_until INTEGER NOT NULL,
    looked_until INTEGER NOT NULL,      -- until when it was seen to be disabled
    disabling INTEGER NOT NULL DEFAULT 0,
    gone INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, organization, object)
) WITHOUT ROWID;
CREATE INDEX objects_there ON objects (charged_until) WHERE gone = 0;
