-- What the release before does not know stands beside what it reads, so that it can go on with the same rows.
-- returned_as: what has become of a target that is `returned`, once the device has said so; NULL: nothing yet.
ALTER TABLE remote.rollout_target ADD COLUMN returned_as text;
CREATE INDEX ON remote.rollout_target (rollout_id, wave, state) INCLUDE (returned_as);
-- exact_counts: as counts, with those words; it stands as long as counts are the same ones in the former words.
-- overwrite_drift: of the plan; whether also devices that were changed on site are told.
ALTER TABLE remote.rollout
    ADD COLUMN exact_counts jsonb,
    ADD COLUMN overwrite_drift boolean NOT NULL DEFAULT false;
