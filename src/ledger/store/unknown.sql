-- What tells a spend without an answer from another, and what a session has been charged for ahead of Devin's own word.
ALTER TABLE wakes ADD COLUMN since INTEGER;     -- of a create without a tag: when Devin had last changed anything before it
ALTER TABLE sessions ADD COLUMN written INTEGER NOT NULL DEFAULT 0; -- charged in full before it was used
CREATE INDEX wakes_said ON wakes (session, text) WHERE kind = 'message' AND text IS NOT NULL;

-- Only payers that Devin has given a session have sessions: whoever may ask for any organization can make up the others.
ALTER TABLE payers ADD COLUMN has_sessions INTEGER NOT NULL DEFAULT 0;
UPDATE payers SET has_sessions = 1 WHERE EXISTS (SELECT 1 FROM sessions WHERE payer = payers.id);
CREATE INDEX payers_with_sessions ON payers (id) WHERE has_sessions = 1;
