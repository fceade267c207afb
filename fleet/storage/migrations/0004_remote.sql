-- Remote configuration: what a device shall be and says it is, commands, groups, rollouts, and the journal of every step.
--
--   remote.config, .config_change, .command, .receipt   written by the shards only; the web reads them as its person may
--   remote.device_group, .rollout                        written by operations through the web
--   sp_rollouts                                          the process that leads rollouts

CREATE SCHEMA remote;

-- One row per device that was ever told or said something of its configuration (fleet.configuration.ConfigState).
CREATE TABLE remote.config (
    site_id           text COLLATE "C" NOT NULL,
    device_id         text COLLATE "C" NOT NULL,
    version           bigint NOT NULL DEFAULT 0,  -- 0: nobody wished anything
    sent_version      bigint NOT NULL DEFAULT 0,
    sent_at           timestamptz,
    reported_version  bigint,                     -- NULL: it has said nothing
    reported_values   jsonb,
    reported_at       timestamptz,
    rejected_version  bigint,
    rejected_errors   jsonb,
    status            text NOT NULL CHECK (status IN ('in_sync', 'pending', 'applying', 'rejected', 'drifted', 'unknown')),
    status_at         timestamptz NOT NULL,
    revision          bigint NOT NULL,
    PRIMARY KEY (site_id, device_id)
);
CREATE INDEX ON remote.config (status);

-- Every version of what a device shall be; the newest is in force.
CREATE TABLE remote.config_change (
    site_id     text COLLATE "C" NOT NULL,
    device_id   text COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    "values"    jsonb NOT NULL,   -- all of them, as they are sent
    own         jsonb NOT NULL,   -- those that are this device's own
    layers      jsonb NOT NULL,   -- those of groups: fleet.configuration.Layer
    at          timestamptz NOT NULL,
    kind        text NOT NULL,
    person_id   text COLLATE "C",
    rollout_id  text COLLATE "C",
    why         text NOT NULL DEFAULT '',
    PRIMARY KEY (site_id, device_id, version)
);
CREATE INDEX ON remote.config_change (device_id, version DESC);

CREATE TABLE remote.command (
    id               text COLLATE "C" PRIMARY KEY,
    site_id          text COLLATE "C" NOT NULL,
    device_id        text COLLATE "C" NOT NULL,
    number           bigint NOT NULL,  -- its place in the device's order
    name             text NOT NULL,
    args             jsonb NOT NULL,
    state            text NOT NULL CHECK (state IN ('queued', 'sent', 'accepted', 'succeeded', 'failed', 'timed_out', 'expired',
                                                    'cancelled')),
    revision         bigint NOT NULL,
    created_at       timestamptz NOT NULL,
    created_by       text COLLATE "C",
    idempotency_key  text,
    batch_id         text COLLATE "C",  -- of a bulk command
    expires_at       timestamptz NOT NULL,
    run_s            double precision NOT NULL,
    sent_at          timestamptz,
    accepted_at      timestamptz,
    ended_at         timestamptz,
    detail           jsonb,             -- the device's answer
    late             jsonb              -- and one that came after it was given up
);
CREATE UNIQUE INDEX command_key ON remote.command (device_id, created_by, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX command_open ON remote.command (site_id, device_id, number) WHERE state IN ('queued', 'sent', 'accepted');
CREATE INDEX ON remote.command (device_id, id DESC);
CREATE INDEX ON remote.command (site_id, id DESC);
CREATE INDEX ON remote.command (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX ON remote.command (created_at);

-- One command for a selection of devices. devices: how many it is for; skipped: reason → how many of the selection it is
-- not for. issued_at: when every one of them had become a command; before, some may be missing.
CREATE TABLE remote.command_batch (
    id               text COLLATE "C" PRIMARY KEY,
    name             text NOT NULL,
    args             jsonb NOT NULL,  -- as they were given
    selection        jsonb NOT NULL,
    expires_at       timestamptz NOT NULL,
    devices          integer NOT NULL,
    skipped          jsonb NOT NULL DEFAULT '{}',
    created_at       timestamptz NOT NULL DEFAULT now(),
    created_by       text COLLATE "C",
    idempotency_key  text,
    issued_at        timestamptz
);
CREATE UNIQUE INDEX ON remote.command_batch (created_by, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- The hash-chained journal (fleet.receipts). detail is text: what was hashed, byte for byte.
CREATE TABLE remote.receipt (
    chain      smallint NOT NULL,
    seq        bigint NOT NULL,
    at         bigint NOT NULL,  -- Unix ms
    site_id    text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL,
    kind       text NOT NULL,
    subject    text NOT NULL,
    detail     text NOT NULL,
    hash       bytea NOT NULL,
    PRIMARY KEY (chain, seq)
);
CREATE INDEX ON remote.receipt (device_id, at DESC);

-- The newest line of each chain, noted apart: a chain whose end was cut off does not fit it.
CREATE TABLE remote.receipt_head (
    chain  smallint PRIMARY KEY,
    seq    bigint NOT NULL,
    hash   bytea NOT NULL
);

CREATE FUNCTION remote.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal of receipts is only ever added to';
END $$;
CREATE TRIGGER receipt_is_for_ever BEFORE UPDATE OR DELETE OR TRUNCATE ON remote.receipt
    FOR EACH STATEMENT EXECUTE FUNCTION remote.refuse_change();

CREATE TABLE registry.device_tag (
    site_id    text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL REFERENCES registry.device ON DELETE CASCADE,
    tag        text NOT NULL CHECK (tag ~ '^[a-z0-9][a-z0-9-]{0,30}$'),
    PRIMARY KEY (site_id, device_id, tag)
);
CREATE INDEX ON registry.device_tag (tag);

-- A saved query for devices (fleet.targets.TargetQuery), and what its rollouts have made its template.
CREATE TABLE remote.device_group (
    id          text COLLATE "C" PRIMARY KEY,
    name        text NOT NULL,
    query       jsonb NOT NULL,
    "values"    jsonb NOT NULL DEFAULT '{}',
    rollout_id  text COLLATE "C",  -- the one that brought the values
    revision    bigint NOT NULL DEFAULT 1,  -- of name and query; what rollouts bring does not count
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text COLLATE "C",
    updated_at  timestamptz NOT NULL DEFAULT now(),
    removed_at  timestamptz
);
CREATE UNIQUE INDEX ON remote.device_group (lower(name)) WHERE removed_at IS NULL;

-- plan: fleet.rollouts.RolloutPlan; counts: target state → devices, as of the last look.
CREATE TABLE remote.rollout (
    id          text COLLATE "C" PRIMARY KEY,
    name        text NOT NULL,
    profile_id  text COLLATE "C" NOT NULL REFERENCES registry.profile,
    group_id    text COLLATE "C" REFERENCES remote.device_group,
    query       jsonb NOT NULL,
    "values"    jsonb NOT NULL,
    plan        jsonb NOT NULL,
    why         text NOT NULL DEFAULT '',
    state       text NOT NULL CHECK (state IN ('running', 'paused', 'returning', 'aborted', 'completed')),
    wave        integer NOT NULL DEFAULT 0,
    wave_at     timestamptz,
    settled_at  timestamptz,       -- since when all of the wave have an outcome
    stopped     jsonb,             -- why it paused or aborted last: fleet.rollouts.Stop
    energy      jsonb,             -- what the canaries yielded: fleet.rollout_energy.EnergyFinding
    counts      jsonb NOT NULL DEFAULT '{}',
    revision    bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text COLLATE "C",
    ended_at    timestamptz
);
CREATE INDEX ON remote.rollout (created_at DESC);
-- Two that bring the same group's layer would undo each other.
CREATE UNIQUE INDEX rollout_one_per_group ON remote.rollout (group_id)
    WHERE group_id IS NOT NULL AND state IN ('running', 'paused', 'returning');

CREATE TABLE remote.rollout_target (
    rollout_id  text COLLATE "C" NOT NULL REFERENCES remote.rollout ON DELETE CASCADE,
    site_id     text COLLATE "C" NOT NULL,
    device_id   text COLLATE "C" NOT NULL,
    wave        integer NOT NULL,
    state       text NOT NULL,
    state_at    timestamptz NOT NULL DEFAULT now(),
    told_at     timestamptz,       -- when its twin was first asked
    version     bigint,            -- of the device's configuration, in force once the twin had stored what this rollout brings
    was_there   boolean,           -- when it was told
    problem     text NOT NULL DEFAULT '',
    "before"    jsonb,             -- the layer of the same source that it had
    PRIMARY KEY (rollout_id, device_id)
);
CREATE INDEX ON remote.rollout_target (rollout_id, wave, state);
CREATE INDEX ON remote.rollout_target (device_id);
CREATE INDEX ON remote.rollout_target (rollout_id, told_at);

-- Whom a rollout tells that it has stopped by itself.
CREATE FUNCTION remote.creator_of(rollout text) RETURNS TABLE (email text, locale text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.email, p.locale FROM remote.rollout r JOIN accounts.person p ON p.id = r.created_by
    WHERE r.id = rollout AND p.disabled_at IS NULL
$$;
REVOKE ALL ON FUNCTION remote.creator_of FROM PUBLIC;

-- who sees what ----------------------------------------------------------------------------------------------------

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['remote.config', 'remote.config_change', 'remote.command', 'remote.receipt',
        'registry.device_tag']
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY tenant ON %s FOR ALL TO sp_web USING ((SELECT registry.sees_all_sites()) OR '
                       'site_id IN (SELECT registry.visible_site_ids()))', tenant_table);
        EXECUTE format('CREATE POLICY twins ON %s FOR ALL TO sp_twins USING (true)', tenant_table);
        EXECUTE format('CREATE POLICY rollouts ON %s FOR SELECT TO sp_rollouts USING (true)', tenant_table);
    END LOOP;
    FOREACH tenant_table IN ARRAY ARRAY['remote.device_group', 'remote.rollout', 'remote.rollout_target']
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY operators ON %s FOR ALL TO sp_web USING ((SELECT registry.sees_all_sites()))', tenant_table);
        EXECUTE format('CREATE POLICY rollouts ON %s FOR ALL TO sp_rollouts USING (true)', tenant_table);
    END LOOP;
    FOREACH tenant_table IN ARRAY ARRAY['registry.site', 'registry.device', 'telemetry.sample', 'telemetry.device_latest',
        'supervision.health', 'supervision.alert']
    LOOP
        EXECUTE format('CREATE POLICY rollouts ON %s FOR SELECT TO sp_rollouts USING (true)', tenant_table);
    END LOOP;
END $$;

ALTER TABLE remote.command_batch ENABLE ROW LEVEL SECURITY;
CREATE POLICY operators ON remote.command_batch FOR ALL TO sp_web USING ((SELECT registry.sees_all_sites()));
CREATE POLICY twins ON remote.command_batch FOR ALL TO sp_twins USING (true);  -- old ones go with their commands

CREATE POLICY audit_write_rollouts ON audit.entry FOR INSERT TO sp_rollouts WITH CHECK (true);

-- Who changed it, who gave it: operations see each other's names in histories; others see their own only.
CREATE FUNCTION accounts.name_in_history(asked text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.name FROM accounts.person p
    WHERE p.id = asked AND (p.id = accounts.acting_person_id() OR registry.sees_all_sites())
$$;
REVOKE EXECUTE ON FUNCTION accounts.name_in_history FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.name_in_history TO sp_web;

-- Tags are for who keeps the site, and on a device of that site.
CREATE POLICY makers ON registry.device_tag AS RESTRICTIVE FOR INSERT TO sp_web
    WITH CHECK (registry.keeps(site_id)
                AND EXISTS (SELECT FROM registry.device d WHERE d.id = device_id AND d.site_id = device_tag.site_id));
CREATE POLICY removers ON registry.device_tag AS RESTRICTIVE FOR DELETE TO sp_web USING (registry.keeps(site_id));

-- A shard that is frozen within a transaction must not keep its successor from the slots.
ALTER ROLE sp_twins SET idle_in_transaction_session_timeout = '30s';

-- least privilege --------------------------------------------------------------------------------------------------

GRANT SELECT, INSERT, UPDATE ON remote.command_batch TO sp_web;
GRANT USAGE ON SCHEMA remote TO sp_twins, sp_web, sp_rollouts;
GRANT SELECT, INSERT, UPDATE, DELETE ON remote.config, remote.config_change, remote.command TO sp_twins;
GRANT SELECT, DELETE ON remote.command_batch TO sp_twins;
GRANT SELECT, INSERT ON remote.receipt TO sp_twins;
GRANT SELECT, INSERT, UPDATE ON remote.receipt_head TO sp_twins;

GRANT SELECT ON remote.config, remote.config_change, remote.command, remote.receipt, remote.rollout_target TO sp_web;
GRANT SELECT, INSERT, UPDATE ON remote.device_group, remote.rollout TO sp_web;
GRANT INSERT ON remote.rollout_target TO sp_web;
GRANT SELECT, INSERT, DELETE ON registry.device_tag TO sp_web;

GRANT USAGE ON SCHEMA registry, telemetry, supervision, accounts TO sp_rollouts;
GRANT SELECT ON registry.site, registry.device, registry.profile, registry.device_tag, telemetry.sample,
    telemetry.device_latest, supervision.health, supervision.alert, remote.config, remote.config_change TO sp_rollouts;
GRANT SELECT, INSERT, UPDATE ON remote.device_group, remote.rollout, remote.rollout_target TO sp_rollouts;
GRANT INSERT (recipient, subject, body) ON accounts.mail TO sp_rollouts;
GRANT EXECUTE ON FUNCTION remote.creator_of TO sp_rollouts;
GRANT USAGE ON SCHEMA audit TO sp_rollouts;
GRANT INSERT ON audit.entry TO sp_rollouts;
