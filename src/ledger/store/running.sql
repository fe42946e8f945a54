-- The sessions of a payer that run, and the creates that may have made one.
CREATE INDEX wakes_running ON wakes (payer, session) WHERE state IN ('out', 'unknown', 'open') AND kind <> 'uncapped';
