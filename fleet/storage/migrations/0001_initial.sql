-- Schemas, one role per service, row-level security from the first table on.
--
-- Roles (created by fleet.storage.migrate, with passwords from files):
--   sp_twins   the shards: telemetry and supervision; reads the registry
--   sp_web     the API: always below row-level security, as the person named by the setting sp.person_id
--   sp_pki     the certificate authority
-- Every id is text in "C" order; every tenant table leads with site_id, so that it can be distributed by it.

CREATE SCHEMA accounts;
CREATE SCHEMA registry;
CREATE SCHEMA telemetry;
CREATE SCHEMA supervision;
CREATE SCHEMA pki;
CREATE SCHEMA audit;

-- accounts ---------------------------------------------------------------------------------------------------------

CREATE TABLE accounts.organisation (
    id          text COLLATE "C" PRIMARY KEY,
    name        text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('installer', 'customer', 'platform')),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE accounts.person (
    id               text COLLATE "C" PRIMARY KEY,
    organisation_id  text COLLATE "C" NOT NULL REFERENCES accounts.organisation,
    email            text NOT NULL CHECK (email = lower(email)),
    name             text NOT NULL,
    role             text NOT NULL CHECK (role IN ('customer', 'energy_manager', 'installer', 'ops', 'admin')),
    password_hash    text NOT NULL,
    locale           text NOT NULL DEFAULT 'fr' CHECK (locale IN ('fr', 'en')),
    created_at       timestamptz NOT NULL DEFAULT now(),
    disabled_at      timestamptz,
    UNIQUE (email)
);

-- One row per log-in. The access token names it (sid), so revoking it takes effect at the next request.
CREATE TABLE accounts.session (
    id            text COLLATE "C" PRIMARY KEY,
    person_id     text COLLATE "C" NOT NULL REFERENCES accounts.person ON DELETE CASCADE,
    refresh_hash  bytea NOT NULL,          -- sha-256 of the one refresh token that is valid now
    previous_hash bytea,                   -- and of the one before: a second tab may come with it, seconds late
    created_at    timestamptz NOT NULL DEFAULT now(),
    rotated_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    revoked_why   text                     -- logout | reuse | disabled
);
CREATE INDEX ON accounts.session (person_id);

-- registry ---------------------------------------------------------------------------------------------------------

-- What a device is. The definition is a fleet.profiles.DeviceProfile; its channels only ever grow at the end, because
-- telemetry.sample stores readings in their order.
CREATE TABLE registry.profile (
    id          text COLLATE "C" PRIMARY KEY,
    definition  jsonb NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE registry.site (
    id                         text COLLATE "C" PRIMARY KEY,
    slot                       smallint NOT NULL CHECK (slot BETWEEN 0 AND 255),
    name                       text NOT NULL,
    timezone                   text NOT NULL DEFAULT 'Europe/Paris',
    latitude                   double precision NOT NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude                  double precision NOT NULL CHECK (longitude BETWEEN -180 AND 180),
    peak_power_w               double precision NOT NULL CHECK (peak_power_w >= 0),
    department                 text,
    customer_organisation_id   text COLLATE "C" NOT NULL REFERENCES accounts.organisation,
    installer_organisation_id  text COLLATE "C" REFERENCES accounts.organisation,
    created_at                 timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON registry.site (slot);
CREATE INDEX ON registry.site (customer_organisation_id);
CREATE INDEX ON registry.site (installer_organisation_id);

CREATE TABLE registry.device (
    id          text COLLATE "C" PRIMARY KEY CHECK (id NOT LIKE 'sp-%'),  -- the broker's rights hang on names: sp- is the platform's
    site_id     text COLLATE "C" NOT NULL REFERENCES registry.site,
    profile_id  text COLLATE "C" NOT NULL REFERENCES registry.profile,
    name        text NOT NULL,
    serial      text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    retired_at  timestamptz
);
CREATE INDEX ON registry.device (site_id);
CREATE UNIQUE INDEX ON registry.device (site_id, serial) WHERE serial IS NOT NULL AND retired_at IS NULL;

-- A site shared with a person outside of its owner's organisation.
CREATE TABLE registry.site_share (
    site_id    text COLLATE "C" NOT NULL REFERENCES registry.site ON DELETE CASCADE,
    person_id  text COLLATE "C" NOT NULL REFERENCES accounts.person ON DELETE CASCADE,
    PRIMARY KEY (site_id, person_id)
);

-- telemetry --------------------------------------------------------------------------------------------------------

-- Who may write for which slots. A claim deletes every row that overlaps and takes a new epoch; each write transaction
-- locks its own row FOR SHARE, so a claim waits for the last write of the old owner and every later one finds no row.
CREATE TABLE telemetry.shard_lease (
    shard       smallint PRIMARY KEY,
    slots       smallint[] NOT NULL,
    epoch       bigint NOT NULL,
    owner       text NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT now()
);
CREATE SEQUENCE telemetry.shard_epoch;

-- One row per device and time; readings in the channel order of the device's profile, NULL where a channel said nothing.
CREATE TABLE telemetry.sample (
    site_id      text COLLATE "C" NOT NULL,
    device_id    text COLLATE "C" NOT NULL,
    time         timestamptz NOT NULL,
    received_at  timestamptz NOT NULL,
    readings     double precision[] NOT NULL,
    PRIMARY KEY (site_id, device_id, time)
) PARTITION BY RANGE (time);

-- A day's partition, made when first needed. Runs as the owner: the shards own nothing.
CREATE FUNCTION telemetry.create_sample_partition(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition text := format('sample_%s', to_char(day, 'YYYYMMDD'));
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('telemetry.create_sample_partition', 0));
    IF to_regclass(format('telemetry.%I', partition)) IS NULL THEN
        EXECUTE format('CREATE TABLE telemetry.%I PARTITION OF telemetry.sample FOR VALUES FROM (%L) TO (%L)',
                       partition, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
    END IF;
END $$;

-- Drops the partitions of days before `keep_from`; returns how many.
CREATE FUNCTION telemetry.drop_sample_partitions(keep_from date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition text;
    dropped integer := 0;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'telemetry.sample'::regclass AND c.relname < format('sample_%s', to_char(keep_from, 'YYYYMMDD'))
    LOOP
        EXECUTE format('DROP TABLE telemetry.%I', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- Element by element, what is stored wins and what is missing is filled in: the result does not depend on the order
-- in which two partial messages about one instant arrive.
CREATE FUNCTION telemetry.merged(stored double precision[], arrived double precision[]) RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(coalesce(s, a) ORDER BY i) FROM unnest(stored, arrived) WITH ORDINALITY AS t(s, a, i)
$$;

-- A day to recompute, and from which instant on. The generation tells a recomputation that more has come meanwhile.
CREATE TABLE telemetry.dirty_day (
    site_id     text COLLATE "C" NOT NULL,
    day         date NOT NULL,
    from_time   timestamptz NOT NULL,
    generation  bigint NOT NULL DEFAULT 1,
    marked_at   timestamptz NOT NULL DEFAULT now(),  -- who waits longest goes first
    PRIMARY KEY (site_id, day)
);

-- A site's local day: totals as columns, quarter-hours as arrays (92, 96 or 100 of them). NULL = nothing known; an empty
-- array = the site has no such counter.
-- quality, per quarter: 0 something missing, 1 measured, 2 estimated (measured total, assumed shape), 3 corrected (reset,
-- rollover, swap or glitch inside).
CREATE TABLE telemetry.site_day (
    site_id       text COLLATE "C" NOT NULL,
    day           date NOT NULL,
    timezone      text NOT NULL,
    pv_wh         double precision,
    import_wh     double precision,
    export_wh     double precision,
    charge_wh     double precision,
    discharge_wh  double precision,
    pv_q          double precision[] NOT NULL,
    import_q      double precision[] NOT NULL,
    export_q      double precision[] NOT NULL,
    charge_q      double precision[] NOT NULL,
    discharge_q   double precision[] NOT NULL,
    quality_q     smallint[] NOT NULL,
    computed_at   timestamptz NOT NULL,
    PRIMARY KEY (site_id, day)
);

-- What the counters of a device did that was not plain counting: kept beside the raw values, which are never changed.
CREATE TABLE telemetry.counter_event (
    site_id        text COLLATE "C" NOT NULL,
    device_id      text COLLATE "C" NOT NULL,
    register       text NOT NULL,
    time           timestamptz NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('reset', 'rollover', 'swap', 'glitch')),
    raw_before_wh  double precision NOT NULL,
    raw_after_wh   double precision NOT NULL,
    energy_wh      double precision NOT NULL,
    PRIMARY KEY (site_id, device_id, register, time)
);

-- A twin's snapshot: enough to rebuild it. Written every few seconds, never needed for durability of samples.
CREATE TABLE telemetry.device_latest (
    site_id      text COLLATE "C" NOT NULL,
    device_id    text COLLATE "C" NOT NULL,
    stream       text,                     -- which run of the device's sequence counter
    seq          bigint NOT NULL DEFAULT 0,
    seen_at      timestamptz,
    sample_time  timestamptz,
    readings     double precision[],
    online       boolean NOT NULL DEFAULT false,
    info         jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (site_id, device_id)
);

-- What could not be taken in, and why. site_id and device_id stand only where they were proven.
CREATE TABLE telemetry.dead_letter (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at  timestamptz NOT NULL,
    site_id      text COLLATE "C",
    device_id    text COLLATE "C",
    topic        text NOT NULL,
    code         text NOT NULL,
    detail       text NOT NULL,
    size_bytes   integer NOT NULL,
    head         bytea NOT NULL            -- the first bytes of the payload
);
CREATE INDEX ON telemetry.dead_letter (received_at);
CREATE INDEX ON telemetry.dead_letter (site_id, received_at);

-- supervision ------------------------------------------------------------------------------------------------------

CREATE TABLE supervision.health (
    site_id    text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL,  -- '' for the site itself
    status     text NOT NULL CHECK (status IN ('ok', 'asleep', 'unknown', 'warning', 'fault', 'offline')),
    since      timestamptz NOT NULL,
    reason     text NOT NULL,
    PRIMARY KEY (site_id, device_id)
);

CREATE TABLE supervision.alert (
    id           text COLLATE "C" PRIMARY KEY,
    site_id      text COLLATE "C" NOT NULL,
    device_id    text COLLATE "C" NOT NULL DEFAULT '',
    rule         text NOT NULL,
    severity     text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    raised_at    timestamptz NOT NULL,
    evidence     jsonb NOT NULL DEFAULT '{}',
    acked_at     timestamptz,
    acked_by     text COLLATE "C",
    resolved_at  timestamptz
);
CREATE UNIQUE INDEX alert_one_open ON supervision.alert (site_id, device_id, rule) WHERE resolved_at IS NULL;
CREATE INDEX ON supervision.alert (site_id, raised_at DESC);
CREATE INDEX ON supervision.alert (raised_at DESC);

-- audit ------------------------------------------------------------------------------------------------------------

CREATE TABLE audit.entry (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    person_id  text COLLATE "C",
    action     text NOT NULL,
    subject    text NOT NULL DEFAULT '',
    detail     jsonb NOT NULL DEFAULT '{}',
    address    text
);
CREATE INDEX ON audit.entry (at);

-- who sees what ----------------------------------------------------------------------------------------------------

CREATE FUNCTION accounts.acting_person_id() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT current_setting('sp.person_id', true) $$;

-- Looked up at each use and not taken from the token: a person who loses a role loses it at once.
CREATE FUNCTION accounts.acting_role() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT role FROM accounts.person WHERE id = accounts.acting_person_id() AND disabled_at IS NULL
$$;

CREATE FUNCTION registry.sees_all_sites() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(accounts.acting_role() IN ('ops', 'admin'), false)
$$;

CREATE FUNCTION registry.visible_site_ids() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.id FROM registry.site s JOIN accounts.person p ON p.id = accounts.acting_person_id() AND p.disabled_at IS NULL
    WHERE (p.role IN ('customer', 'energy_manager') AND s.customer_organisation_id = p.organisation_id)
       OR (p.role = 'installer' AND s.installer_organisation_id = p.organisation_id)
    UNION
    SELECT h.site_id FROM registry.site_share h JOIN accounts.person p ON p.id = h.person_id
    WHERE h.person_id = accounts.acting_person_id() AND p.disabled_at IS NULL
$$;

ALTER TABLE registry.site ENABLE ROW LEVEL SECURITY;
CREATE POLICY site_web ON registry.site FOR ALL TO sp_web
    USING ((SELECT registry.sees_all_sites()) OR id IN (SELECT registry.visible_site_ids()));
CREATE POLICY site_services ON registry.site FOR SELECT TO sp_twins, sp_pki USING (true);

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['registry.device', 'registry.site_share', 'telemetry.sample', 'telemetry.site_day',
        'telemetry.counter_event', 'telemetry.device_latest', 'telemetry.dirty_day', 'supervision.health', 'supervision.alert']
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY tenant ON %s FOR ALL TO sp_web USING ((SELECT registry.sees_all_sites()) OR '
                       'site_id IN (SELECT registry.visible_site_ids()))', tenant_table);
        EXECUTE format('CREATE POLICY twins ON %s FOR ALL TO sp_twins USING (true)', tenant_table);
    END LOOP;
END $$;
CREATE POLICY device_pki ON registry.device FOR SELECT TO sp_pki USING (true);

-- A dead letter without a proven site belongs to the operators.
ALTER TABLE telemetry.dead_letter ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON telemetry.dead_letter FOR SELECT TO sp_web
    USING ((SELECT registry.sees_all_sites()) OR site_id IN (SELECT registry.visible_site_ids()));
CREATE POLICY twins ON telemetry.dead_letter FOR ALL TO sp_twins USING (true);

ALTER TABLE accounts.person ENABLE ROW LEVEL SECURITY;
CREATE POLICY person_web ON accounts.person FOR ALL TO sp_web
    USING (id = (SELECT accounts.acting_person_id()) OR (SELECT accounts.acting_role()) = 'admin');
ALTER TABLE accounts.organisation ENABLE ROW LEVEL SECURITY;
CREATE POLICY organisation_web ON accounts.organisation FOR SELECT TO sp_web
    USING ((SELECT registry.sees_all_sites())
           OR id IN (SELECT customer_organisation_id FROM registry.site UNION SELECT installer_organisation_id FROM registry.site)
           OR id IN (SELECT organisation_id FROM accounts.person WHERE id = (SELECT accounts.acting_person_id())));
ALTER TABLE accounts.session ENABLE ROW LEVEL SECURITY;
CREATE POLICY session_web ON accounts.session FOR ALL TO sp_web USING (person_id = (SELECT accounts.acting_person_id()));
ALTER TABLE audit.entry ENABLE ROW LEVEL SECURITY;
CREATE POLICY audit_read ON audit.entry FOR SELECT TO sp_web USING ((SELECT accounts.acting_role()) = 'admin');
CREATE POLICY audit_write ON audit.entry FOR INSERT TO sp_web, sp_twins WITH CHECK (true);

-- The two look-ups that come before there is an acting person: log-in by e-mail, refresh by session id.
CREATE FUNCTION accounts.person_for_login(login_email text)
RETURNS TABLE (id text, password_hash text, role text, disabled boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT id, password_hash, role, disabled_at IS NOT NULL FROM accounts.person WHERE email = lower(login_email)
$$;
CREATE FUNCTION accounts.person_of_session(session_id text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT person_id FROM accounts.session WHERE id = session_id
$$;

-- The first statement of a request's transaction: looks the session up and becomes its person. No row: not signed in (any more).
CREATE FUNCTION accounts.enter(session_id text, claimed_person_id text)
RETURNS TABLE (id text, organisation_id text, email text, name text, role text, locale text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT p.id, p.organisation_id, p.email, p.name, p.role, p.locale
        FROM accounts.session s JOIN accounts.person p ON p.id = s.person_id
        WHERE s.id = session_id AND s.person_id = claimed_person_id
          AND s.revoked_at IS NULL AND s.expires_at > now() AND p.disabled_at IS NULL;
    PERFORM set_config('sp.person_id', CASE WHEN FOUND THEN claimed_person_id ELSE '' END, true);
END $$;

-- The first administrator, made once: refused as soon as there is any.
CREATE FUNCTION accounts.has_admin() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM accounts.person WHERE role = 'admin')
$$;
CREATE FUNCTION accounts.create_first_admin(person_id text, person_email text, person_name text, hash text, person_locale text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('accounts.create_first_admin', 0));
    IF accounts.has_admin() THEN
        RETURN false;
    END IF;
    INSERT INTO accounts.organisation (id, name, kind) VALUES ('platform', 'SolarPerform', 'platform') ON CONFLICT (id) DO NOTHING;
    INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash, locale)
    VALUES (person_id, 'platform', lower(person_email), person_name, 'admin', hash, person_locale);
    RETURN true;
END $$;

-- least privilege --------------------------------------------------------------------------------------------------

REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA accounts, registry, telemetry FROM PUBLIC;

GRANT USAGE ON SCHEMA registry, telemetry, supervision, audit TO sp_twins;
GRANT SELECT ON registry.site, registry.device, registry.profile TO sp_twins;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA telemetry TO sp_twins;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA supervision TO sp_twins;
GRANT INSERT ON audit.entry TO sp_twins;
GRANT USAGE ON SEQUENCE telemetry.shard_epoch TO sp_twins;
GRANT EXECUTE ON FUNCTION telemetry.create_sample_partition, telemetry.drop_sample_partitions, telemetry.merged TO sp_twins;

GRANT USAGE ON SCHEMA accounts, registry, telemetry, supervision, audit TO sp_web;
GRANT SELECT, INSERT, UPDATE ON accounts.person, accounts.session TO sp_web;
GRANT DELETE ON accounts.session TO sp_web;
GRANT SELECT ON accounts.organisation, registry.profile TO sp_web;
GRANT SELECT, INSERT, UPDATE ON registry.site, registry.device, registry.site_share TO sp_web;
GRANT SELECT ON telemetry.sample, telemetry.site_day, telemetry.counter_event, telemetry.device_latest, telemetry.dead_letter,
    telemetry.dirty_day, supervision.health, supervision.alert TO sp_web;
GRANT SELECT, INSERT ON audit.entry TO sp_web;
GRANT EXECUTE ON FUNCTION accounts.acting_person_id, accounts.acting_role, accounts.person_for_login,
    accounts.person_of_session, accounts.enter, accounts.has_admin, accounts.create_first_admin, registry.sees_all_sites, registry.visible_site_ids TO sp_web;

GRANT USAGE ON SCHEMA pki, registry, audit TO sp_pki;
GRANT SELECT ON registry.site, registry.device TO sp_pki;
