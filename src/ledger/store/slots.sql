-- The sums of one slot stand side by side: what a group of holds changes is on a few pages, however many pay, and
-- however long each has paid.
CREATE TABLE tallies_by_slot (
    slot INTEGER NOT NULL,
    payer INTEGER NOT NULL REFERENCES payers (id),
    spent INTEGER NOT NULL,
    held INTEGER NOT NULL,
    overrun INTEGER NOT NULL DEFAULT 0,
    unheld INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (slot, payer)
) WITHOUT ROWID;
INSERT INTO tallies_by_slot (slot, payer, spent, held, overrun, unheld)
SELECT slot, payer, spent, held, overrun, unheld FROM tallies ORDER BY slot, payer;
DROP TABLE tallies;
ALTER TABLE tallies_by_slot RENAME TO tallies;
-- Written once for each payer and slot.
CREATE INDEX tallies_by_payer ON tallies (payer, slot);
