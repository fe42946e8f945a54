-- Which thresholds were passed, once in each window; and what is still to be told of it.
CREATE TABLE alerts (
    id TEXT NOT NULL UNIQUE,
    budget TEXT NOT NULL,               -- the budget's id
    account TEXT NOT NULL,              -- empty where there is one account for all
    window INTEGER NOT NULL,            -- its beginning
    threshold INTEGER NOT NULL,         -- percent
    ends INTEGER NOT NULL,
    body TEXT NOT NULL,                 -- JSON: what is told
    told INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (budget, account, window, threshold)
) WITHOUT ROWID;
CREATE INDEX alerts_untold ON alerts (id) WHERE told = 0;
CREATE INDEX IF NOT EXISTS adjustments_by_budget ON adjustments (budget);
