-- Field data: what loggers send as files, by SFTP or by hand, and formats that remember.
--
-- Further roles (created by fleet.storage.migrate):
--   sp_sftp      the drop box: reads credentials, nothing else
--   sp_importer  the importer: what arrived, what became of it; samples go through the twins

CREATE SCHEMA imports;

-- Who may put files, and how they are read: one account per data logger, which is a device.
-- settings: fleet.codecs.files.reading.ReadingSettings. expected_every_s: a file is missed after that long; NULL: none is.
CREATE TABLE imports.account (
    device_id         text COLLATE "C" PRIMARY KEY REFERENCES registry.device,
    site_id           text COLLATE "C" NOT NULL REFERENCES registry.site,
    password_hash     text,                          -- argon2id; the password was shown once
    settings          jsonb NOT NULL DEFAULT '{}',
    expected_every_s  integer CHECK (expected_every_s > 0),
    legacy            boolean NOT NULL DEFAULT false, -- may come by the listener with older algorithms
    created_at        timestamptz NOT NULL DEFAULT now(),
    created_by        text COLLATE "C",
    closed_at         timestamptz
);
CREATE INDEX ON imports.account (site_id);

CREATE TABLE imports.account_key (
    site_id      text COLLATE "C" NOT NULL,
    device_id    text COLLATE "C" NOT NULL REFERENCES imports.account,
    fingerprint  text NOT NULL,                      -- SHA256:…, as OpenSSH prints it
    public_key   text NOT NULL,                      -- one line of an authorized_keys file, without options
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text COLLATE "C",
    PRIMARY KEY (device_id, fingerprint)
);

-- All that the drop box knows of anybody. A revoked or retired device has no account.
CREATE VIEW imports.credential WITH (security_barrier) AS
    SELECT a.device_id, a.password_hash, a.legacy,
           ARRAY(SELECT k.public_key FROM imports.account_key k WHERE k.device_id = a.device_id ORDER BY k.created_at) AS public_keys
    FROM imports.account a JOIN registry.device d ON d.id = a.device_id
    WHERE a.closed_at IS NULL AND d.retired_at IS NULL AND d.revoked_at IS NULL;

-- A customer's own SFTP server, from which files are fetched. secret: encrypted with the importer's key (Fernet).
CREATE TABLE imports.pull_source (
    id            text COLLATE "C" PRIMARY KEY,
    site_id       text COLLATE "C" NOT NULL REFERENCES registry.site,
    device_id     text COLLATE "C" NOT NULL REFERENCES imports.account,
    host          text NOT NULL,
    port          integer NOT NULL DEFAULT 22 CHECK (port BETWEEN 1 AND 65535),
    username      text NOT NULL,
    host_key      text NOT NULL,                     -- pinned: one line, as ssh-keyscan prints it without the name
    auth          text NOT NULL CHECK (auth IN ('password', 'key')),
    secret        bytea NOT NULL,
    public_key    text,                              -- auth 'key': for the server's authorized_keys
    folder        text NOT NULL DEFAULT '.',
    pattern       text NOT NULL DEFAULT '*',
    every_s       integer NOT NULL CHECK (every_s >= 60),
    created_at    timestamptz NOT NULL DEFAULT now(),
    created_by    text COLLATE "C",
    removed_at    timestamptz,
    due_at        timestamptz NOT NULL DEFAULT now(),
    last_ok_at    timestamptz,
    problem_code  text,
    problem_at    timestamptz,
    failures      integer NOT NULL DEFAULT 0          -- in a row
);
CREATE INDEX ON imports.pull_source (site_id);
CREATE INDEX ON imports.pull_source (due_at) WHERE removed_at IS NULL;

-- What was taken already: a file comes again when its size or time changes.
CREATE TABLE imports.pulled_file (
    source_id   text COLLATE "C" NOT NULL REFERENCES imports.pull_source ON DELETE CASCADE,
    name        text NOT NULL,
    size_bytes  bigint NOT NULL,
    mtime       bigint NOT NULL,
    taken_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source_id, name)
);

-- Every file that ever came, and what became of it. number: in order of arrival; part of its rows' rank (telemetry.sample).
-- state: received → reading → storing → imported | partly (some lines refused) | quarantined (nothing taken; problem says why)
--        | same (these bytes were imported already) | undoing → undone
-- stored_with: the settings and format that its rows were stored with; NULL: none are.
-- settings: the reading settings used, or to be used the next time. rows_*: of samples; new + same + corrected + waiting + late = read.
CREATE TABLE imports.file (
    number          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              text COLLATE "C" NOT NULL UNIQUE,
    site_id         text COLLATE "C" NOT NULL REFERENCES registry.site,
    device_id       text COLLATE "C" REFERENCES registry.device,   -- the logger; NULL: uploaded by hand for the site
    via             text NOT NULL CHECK (via IN ('sftp', 'pull', 'upload')),
    person_id       text COLLATE "C",
    name            text NOT NULL,
    size_bytes      bigint NOT NULL,
    sha256          bytea NOT NULL,
    received_at     timestamptz NOT NULL DEFAULT now(),
    state           text NOT NULL DEFAULT 'received' CHECK (state IN
                    ('received', 'reading', 'storing', 'imported', 'partly', 'quarantined', 'same', 'undoing', 'undone')),
    settings        jsonb NOT NULL DEFAULT '{}',
    stored_with     jsonb,
    format_id       text,
    problem_code    text,
    problem_gaps    jsonb NOT NULL DEFAULT '{}',
    problem_line    bigint,
    attempts        integer NOT NULL DEFAULT 0,      -- how often its reader was lost: one that ends it is not tried for ever
    started_at      timestamptz,
    finished_at     timestamptz,
    state_at        timestamptz NOT NULL DEFAULT now(),   -- since when it is in its state: kept by a trigger
    blocks          integer,                         -- to store; NULL: not read to the end yet
    blocks_done     integer NOT NULL DEFAULT 0,
    bytes_read      bigint NOT NULL DEFAULT 0,
    rows_read       bigint NOT NULL DEFAULT 0,
    rows_new        bigint NOT NULL DEFAULT 0,
    rows_same       bigint NOT NULL DEFAULT 0,
    rows_corrected  bigint NOT NULL DEFAULT 0,
    rows_waiting    bigint NOT NULL DEFAULT 0,       -- of serials that no device has yet
    rows_late       bigint NOT NULL DEFAULT 0,       -- too old, or of a time that is yet to come
    lines_refused   bigint NOT NULL DEFAULT 0,
    first_at        timestamptz,                     -- of its samples
    last_at         timestamptz,
    original_gone_at timestamptz                     -- kept N days
);
CREATE INDEX ON imports.file (site_id, number DESC);
CREATE INDEX ON imports.file (device_id, number DESC);
CREATE INDEX ON imports.file (site_id, number) WHERE state IN ('received', 'reading', 'storing', 'undoing');
CREATE INDEX ON imports.file (site_id, sha256);
CREATE INDEX ON imports.file (sha256) WHERE original_gone_at IS NULL;
CREATE INDEX ON imports.file (number) WHERE original_gone_at IS NULL;
CREATE INDEX ON imports.file (format_id, number DESC) WHERE original_gone_at IS NULL;
CREATE INDEX ON imports.file (site_id) WHERE state = 'quarantined' AND problem_code = 'unknown_format' AND original_gone_at IS NULL;
CREATE INDEX ON imports.file (site_id, (coalesce(device_id, '')), number DESC) WHERE lines_refused > 0;
CREATE FUNCTION imports.note_state() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.state_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER note_state BEFORE UPDATE OF state ON imports.file
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION imports.note_state();

-- The first refusals of a file, in its order; lines_refused counts them all. Kept as long as the file itself is, and of each
-- logger for its newest files that have any.
CREATE TABLE imports.refusal (
    site_id      text COLLATE "C" NOT NULL,
    file_number  bigint NOT NULL REFERENCES imports.file ON DELETE CASCADE,
    position     integer NOT NULL,
    line         bigint NOT NULL,
    cell         integer,
    code         text NOT NULL,
    gaps         jsonb NOT NULL DEFAULT '{}',
    text         text NOT NULL DEFAULT '',
    PRIMARY KEY (file_number, position, site_id)
);

-- Devices that a file tells of. waiting: no device of the site had that serial when it was read; it is read again when one has.
CREATE TABLE imports.file_serial (
    site_id      text COLLATE "C" NOT NULL,
    file_number  bigint NOT NULL REFERENCES imports.file ON DELETE CASCADE,
    serial       text NOT NULL,
    device_id    text COLLATE "C",
    rows         bigint NOT NULL,
    measures     text[] NOT NULL,
    waiting      boolean NOT NULL,
    PRIMARY KEY (file_number, serial, site_id)
);
CREATE INDEX ON imports.file_serial (site_id, serial) WHERE waiting;

-- Definition files of a logger (WebdynSun): scales and units of what it sends.
CREATE TABLE imports.definition (
    site_id     text COLLATE "C" NOT NULL,
    device_id   text COLLATE "C" NOT NULL DEFAULT '',   -- '': of the site, uploaded by hand
    name        text NOT NULL,
    content     text NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site_id, device_id, name)
);

-- A company's own formats, made in the portal. definition: fleet.codecs.files.wide_csv.WideCsv.
CREATE TABLE imports.company_format (
    id               text COLLATE "C" PRIMARY KEY,
    organisation_id  text COLLATE "C" NOT NULL REFERENCES accounts.organisation,
    name             text NOT NULL,
    definition       jsonb NOT NULL,
    version          integer NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL DEFAULT now(),
    created_by       text COLLATE "C",
    updated_at       timestamptz NOT NULL DEFAULT now(),
    removed_at       timestamptz
);
CREATE INDEX ON imports.company_format (organisation_id);

-- A logger that fails again and again, or whose file did not come: told once until it is well again.
CREATE TABLE imports.concern (
    site_id     text COLLATE "C" NOT NULL,
    device_id   text COLLATE "C" NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('failing', 'missing', 'pull_failing')),
    since       timestamptz NOT NULL,
    told_at     timestamptz,
    PRIMARY KEY (site_id, device_id, kind)
);

-- samples from files -----------------------------------------------------------------------------------------------

-- Which file a row's readings come from. NULL: told live. The higher rank wins where two files differ: a corrected curve
-- before a raw one, then the file that has more of the day, then the later one (fleet.ranks). ranks: channel by channel, where
-- they are not all of one file.
ALTER TABLE telemetry.sample ADD COLUMN rank bigint, ADD COLUMN ranks bigint[];

-- What a file put right: readings as they were before.
CREATE TABLE telemetry.sample_revision (
    site_id      text COLLATE "C" NOT NULL,
    device_id    text COLLATE "C" NOT NULL,
    time         timestamptz NOT NULL,
    revised_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    file_number  bigint NOT NULL,
    before       double precision[] NOT NULL,
    before_rank  bigint,
    before_ranks bigint[],
    PRIMARY KEY (site_id, device_id, time, revised_at, file_number)
);
CREATE INDEX ON telemetry.sample_revision (file_number);

-- One row about an instant, of what stands and what a file tells: channel by channel the higher rank, files before live values,
-- and of equal rank (one file that says it twice) the greater value, so that no order matters.
CREATE FUNCTION telemetry.ranked(
    stored double precision[], rank bigint, ranks bigint[], told double precision[], told_rank bigint,
    OUT readings double precision[], OUT new_ranks bigint[], OUT differs boolean
) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(CASE WHEN takes THEN t ELSE s END ORDER BY i),
           array_agg(CASE WHEN takes THEN told_rank ELSE r END ORDER BY i),
           bool_or(takes AND s IS DISTINCT FROM t AND s IS NOT NULL)
    FROM (
        SELECT i, s, t, r, t IS NOT NULL AND (s IS NULL OR r IS NULL OR told_rank > r OR (told_rank = r AND t > s)) AS takes
        FROM (SELECT i, s, t, CASE WHEN s IS NULL THEN NULL WHEN ranks IS NULL THEN rank ELSE ranks[i] END AS r
              FROM unnest(stored, told) WITH ORDINALITY AS u(s, t, i)) cells
    ) decided
$$;

-- What a live message fills into a row that a file has told of stays known as live.
CREATE FUNCTION telemetry.ranks_after_filling(
    stored double precision[], rank bigint, ranks bigint[]
) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(CASE WHEN s IS NULL THEN NULL WHEN ranks IS NULL THEN rank ELSE ranks[i] END ORDER BY i)
    FROM unnest(stored) WITH ORDINALITY AS u(s, i)
$$;

-- Takes back what a file has told of a device between two instants: each reading gives way to the best that others told, if any.
-- History forgets it as well, or it would come back with the next file that is taken back.
-- Returns the first instant of each hour in which something changed.
CREATE FUNCTION telemetry.retract_file(
    of_site text, of_device text, since timestamptz, until timestamptz, number bigint
) RETURNS SETOF timestamptz
LANGUAGE sql VOLATILE AS $$
    WITH mine AS (
        SELECT s.time, left_over.readings, left_over.ranks
        FROM telemetry.sample s
        CROSS JOIN LATERAL (
            SELECT array_agg(CASE WHEN hit THEN other.v ELSE c.v END ORDER BY i) AS readings,
                   array_agg(CASE WHEN hit THEN other.r ELSE c.r END ORDER BY i) AS ranks, bool_or(hit) AS hit
            FROM (SELECT i, v, r, v IS NOT NULL AND r & ((1::bigint << 48) - 1) = number AS hit
                  FROM (SELECT i, v, CASE WHEN s.ranks IS NULL THEN s.rank ELSE s.ranks[i] END AS r
                        FROM unnest(s.readings) WITH ORDINALITY AS u(v, i)) cells) c
            LEFT JOIN LATERAL (
                SELECT h.before[c.i] AS v, told.r
                FROM telemetry.sample_revision h
                CROSS JOIN LATERAL (SELECT CASE WHEN h.before_ranks IS NULL THEN h.before_rank ELSE h.before_ranks[c.i] END) told(r)
                WHERE c.hit AND h.site_id = of_site AND h.device_id = of_device AND h.time = s.time AND h.before[c.i] IS NOT NULL
                      AND (told.r & ((1::bigint << 48) - 1)) IS DISTINCT FROM number
                ORDER BY told.r DESC NULLS LAST LIMIT 1) other ON true
        ) left_over
        WHERE s.site_id = of_site AND s.device_id = of_device AND s.time >= since AND s.time <= until AND s.rank IS NOT NULL
              AND left_over.hit
    ), gone AS (
        DELETE FROM telemetry.sample s USING mine m
        WHERE s.site_id = of_site AND s.device_id = of_device AND s.time = m.time AND s.time >= since AND s.time <= until
              AND NOT EXISTS (SELECT FROM unnest(m.readings) v WHERE v IS NOT NULL)
    ), changed AS (
        UPDATE telemetry.sample s SET readings = m.readings,
            rank = (SELECT max(r) FROM unnest(m.readings, m.ranks) u(v, r) WHERE v IS NOT NULL),
            ranks = CASE WHEN (SELECT count(DISTINCT coalesce(r, -1)) FROM unnest(m.readings, m.ranks) u(v, r)
                               WHERE v IS NOT NULL) > 1 THEN m.ranks END
        FROM mine m
        WHERE s.site_id = of_site AND s.device_id = of_device AND s.time = m.time AND s.time >= since AND s.time <= until
              AND EXISTS (SELECT FROM unnest(m.readings) v WHERE v IS NOT NULL)
    ), forgotten AS (
        DELETE FROM telemetry.sample_revision h
        WHERE h.site_id = of_site AND h.device_id = of_device AND h.time >= since AND h.time <= until
              AND (h.file_number = number OR NOT EXISTS (
                  SELECT FROM unnest(h.before, h.before_ranks) u(v, r)
                  WHERE v IS NOT NULL AND (CASE WHEN h.before_ranks IS NULL THEN h.before_rank ELSE r END
                                           & ((1::bigint << 48) - 1)) IS DISTINCT FROM number))
    ), thinned AS (
        UPDATE telemetry.sample_revision h SET before = (
            SELECT array_agg(CASE WHEN (r & ((1::bigint << 48) - 1)) IS DISTINCT FROM number THEN v END ORDER BY i)
            FROM unnest(h.before, h.before_ranks) WITH ORDINALITY u(v, r, i))
        WHERE h.site_id = of_site AND h.device_id = of_device AND h.time >= since AND h.time <= until
              AND h.file_number <> number AND h.before_ranks IS NOT NULL
              AND EXISTS (SELECT FROM unnest(h.before_ranks) r WHERE r & ((1::bigint << 48) - 1) = number)
              AND EXISTS (SELECT FROM unnest(h.before, h.before_ranks) u(v, r)
                          WHERE v IS NOT NULL AND (r & ((1::bigint << 48) - 1)) IS DISTINCT FROM number)
    )
    SELECT min(m.time) FROM mine m GROUP BY date_trunc('hour', m.time)
$$;

-- Days whose samples retention has dropped: their totals stand for ever, and are not recomputed from what is left.
ALTER TABLE telemetry.site_day ADD COLUMN sealed boolean NOT NULL DEFAULT false;

-- Samples of the day, or readings of them, are gone: what they bore upon is found from what stands around.
ALTER TABLE telemetry.dirty_day ADD COLUMN gone boolean NOT NULL DEFAULT false;

-- What formats with a memory have learned of a sender (names behind aliases, discovered topics).
CREATE TABLE telemetry.codec_memory (
    site_id    text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL,
    key        text NOT NULL,
    value      bytea NOT NULL,
    PRIMARY KEY (site_id, device_id, key)
);

-- A day's partition, or in the past a month's: years of history are not thousands of tables. Returns its name. COPY works only
-- where there is no row-level security: into the partition itself, which nobody but the twins may do.
DROP FUNCTION telemetry.create_sample_partition(date);
CREATE FUNCTION telemetry.create_sample_partition(day date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month date := date_trunc('month', day)::date;
    next_month date := (date_trunc('month', day) + interval '1 month')::date;
    daily text := format('sample_%s', to_char(day, 'YYYYMMDD'));
    monthly text := format('sample_%s', to_char(day, 'YYYYMM'));
    made text;
BEGIN
    made := CASE WHEN to_regclass(format('telemetry.%I', daily)) IS NOT NULL THEN daily
                 WHEN to_regclass(format('telemetry.%I', monthly)) IS NOT NULL THEN monthly END;
    IF made IS NOT NULL THEN
        RETURN made;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('telemetry.create_sample_partition', 0));
    -- Asked of the table itself: to_regclass may still remember that there was none before we waited.
    SELECT c.relname INTO made FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'telemetry.sample'::regclass AND c.relname IN (daily, monthly);
    IF made IS NOT NULL THEN
        RETURN made;
    END IF;
    IF next_month <= (now() AT TIME ZONE 'UTC')::date - 31 AND NOT EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'telemetry.sample'::regclass AND c.relname LIKE format('sample_%s__', to_char(day, 'YYYYMM')))
    THEN
        made := monthly;
        EXECUTE format('CREATE TABLE telemetry.%I PARTITION OF telemetry.sample FOR VALUES FROM (%L) TO (%L)',
                       made, month::text || ' 00:00+00', next_month::text || ' 00:00+00');
    ELSE
        made := daily;
        EXECUTE format('CREATE TABLE telemetry.%I PARTITION OF telemetry.sample FOR VALUES FROM (%L) TO (%L)',
                       made, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
    END IF;
    EXECUTE format('GRANT INSERT ON telemetry.%I TO sp_twins', made);
    RETURN made;
END $$;
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'telemetry.sample'::regclass LOOP
        EXECUTE format('GRANT INSERT ON %s TO sp_twins', partition);
    END LOOP;
END $$;

-- Drops the days before keep_from, and the months (of history from files) before keep_months_from. The days that lose their
-- samples are sealed. Returns how many partitions went.
DROP FUNCTION telemetry.drop_sample_partitions(date);
CREATE FUNCTION telemetry.drop_sample_partitions(keep_from date, keep_months_from date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition text;
    first_day date;
    last_day date;
    dropped integer := 0;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'telemetry.sample'::regclass
          AND CASE length(c.relname) WHEN 15 THEN c.relname < format('sample_%s', to_char(keep_from, 'YYYYMMDD'))
                                     ELSE c.relname < format('sample_%s', to_char(keep_months_from, 'YYYYMM')) END
        ORDER BY c.relname
    LOOP
        first_day := to_date(rpad(substr(partition, 8), 8, '01'), 'YYYYMMDD');
        last_day := CASE length(partition) WHEN 15 THEN first_day ELSE (first_day + interval '1 month')::date - 1 END;
        UPDATE telemetry.site_day SET sealed = true WHERE day BETWEEN first_day - 1 AND last_day + 1 AND NOT sealed;
        DELETE FROM telemetry.dirty_day WHERE day BETWEEN first_day - 1 AND last_day + 1;
        EXECUTE format('DROP TABLE telemetry.%I', partition);
        dropped := dropped + 1;
    END LOOP;
    IF dropped > 0 THEN
        DELETE FROM telemetry.sample_revision WHERE time < keep_months_from;
    END IF;
    RETURN dropped;
END $$;

-- who sees what ----------------------------------------------------------------------------------------------------

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['imports.account', 'imports.account_key', 'imports.pull_source', 'imports.file',
        'imports.refusal', 'imports.file_serial', 'imports.definition', 'imports.concern', 'telemetry.sample_revision']
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY tenant ON %s FOR ALL TO sp_web USING ((SELECT registry.sees_all_sites()) OR '
                       'site_id IN (SELECT registry.visible_site_ids()))', tenant_table);
        EXECUTE format('CREATE POLICY importer ON %s FOR ALL TO sp_importer USING (true)', tenant_table);
    END LOOP;
    -- Files, passwords and fetching are the keepers' business: a customer sees the curves.
    FOREACH tenant_table IN ARRAY ARRAY['imports.account', 'imports.account_key', 'imports.pull_source', 'imports.file',
        'imports.refusal', 'imports.file_serial', 'imports.definition', 'imports.concern']
    LOOP
        EXECUTE format('CREATE POLICY keepers ON %s AS RESTRICTIVE FOR ALL TO sp_web USING (registry.keeps(site_id))', tenant_table);
    END LOOP;
    FOREACH tenant_table IN ARRAY ARRAY['telemetry.sample_revision', 'telemetry.codec_memory']
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY twins ON %s FOR ALL TO sp_twins USING (true)', tenant_table);
    END LOOP;
END $$;

-- Whoever keeps a site still names none but its own devices.
DO $$
DECLARE
    with_device text;
BEGIN
    FOREACH with_device IN ARRAY ARRAY['account', 'pull_source', 'file'] LOOP
        EXECUTE format('CREATE POLICY own_device ON imports.%I AS RESTRICTIVE FOR INSERT TO sp_web WITH CHECK (device_id IS NULL '
                       'OR EXISTS (SELECT FROM registry.device d WHERE d.id = device_id AND d.site_id = %I.site_id))',
                       with_device, with_device);
    END LOOP;
END $$;

ALTER TABLE telemetry.waiting_source ADD COLUMN codec text;  -- the third party's format that it was heard in

ALTER TABLE imports.company_format ENABLE ROW LEVEL SECURITY;
CREATE POLICY company ON imports.company_format FOR ALL TO sp_web
    USING ((SELECT accounts.acting_role()) IN ('ops', 'admin')
           OR ((SELECT accounts.acting_role()) = 'installer'
               AND organisation_id IN (SELECT organisation_id FROM accounts.person WHERE id = (SELECT accounts.acting_person_id()))));
CREATE POLICY importer ON imports.company_format FOR SELECT TO sp_importer USING (true);

CREATE POLICY site_importer ON registry.site FOR SELECT TO sp_importer USING (true);
CREATE POLICY device_importer ON registry.device FOR SELECT TO sp_importer USING (true);
CREATE POLICY waiting_importer ON telemetry.waiting_source FOR ALL TO sp_importer USING (true);

-- Whom to tell when a logger fails or falls silent: the people of the company that keeps the site; without one, operations.
CREATE FUNCTION imports.keepers_of(of_site text) RETURNS TABLE (email text, locale text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.email, p.locale FROM registry.site s JOIN accounts.person p
      ON CASE WHEN s.installer_organisation_id IS NULL THEN p.role = 'ops'
              ELSE p.organisation_id = s.installer_organisation_id AND p.role = 'installer' END
    WHERE s.id = of_site AND p.disabled_at IS NULL ORDER BY p.created_at, p.id LIMIT 5
$$;

-- least privilege --------------------------------------------------------------------------------------------------

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA imports, telemetry FROM PUBLIC;

GRANT USAGE ON SCHEMA imports TO sp_sftp;
GRANT SELECT ON imports.credential TO sp_sftp;

GRANT USAGE ON SCHEMA imports, registry, telemetry, accounts TO sp_importer;
GRANT SELECT ON imports.pull_source TO sp_importer;
GRANT UPDATE (due_at, last_ok_at, problem_code, problem_at, failures) ON imports.pull_source TO sp_importer;
GRANT SELECT, INSERT, UPDATE, DELETE ON imports.pulled_file, imports.file, imports.refusal, imports.file_serial,
    imports.definition, imports.concern TO sp_importer;
GRANT SELECT (device_id, site_id, settings, expected_every_s, created_at, closed_at) ON imports.account TO sp_importer;
GRANT SELECT ON imports.company_format, registry.site, registry.device, registry.profile TO sp_importer;
GRANT SELECT, INSERT, UPDATE ON telemetry.waiting_source TO sp_importer;
GRANT INSERT (recipient, subject, body) ON accounts.mail TO sp_importer;
GRANT EXECUTE ON FUNCTION imports.keepers_of TO sp_importer;

GRANT USAGE ON SCHEMA imports TO sp_web;
GRANT SELECT, INSERT ON imports.account, imports.company_format, imports.pull_source TO sp_web;
GRANT UPDATE (password_hash, settings, expected_every_s, legacy, closed_at) ON imports.account TO sp_web;
GRANT UPDATE (name, definition, version, updated_at, removed_at) ON imports.company_format TO sp_web;
GRANT UPDATE (host_key, secret, due_at, removed_at) ON imports.pull_source TO sp_web;
GRANT SELECT, INSERT, DELETE ON imports.account_key TO sp_web;
GRANT SELECT ON imports.file, imports.refusal, imports.file_serial, imports.definition, imports.concern,
    telemetry.sample_revision TO sp_web;
GRANT INSERT (id, site_id, device_id, via, person_id, name, size_bytes, sha256, settings) ON imports.file TO sp_web;
GRANT UPDATE (state, settings) ON imports.file TO sp_web;

GRANT SELECT, INSERT, UPDATE, DELETE ON telemetry.sample_revision, telemetry.codec_memory TO sp_twins;
GRANT EXECUTE ON FUNCTION telemetry.drop_sample_partitions, telemetry.create_sample_partition, telemetry.merged, telemetry.ranked,
    telemetry.ranks_after_filling, telemetry.retract_file TO sp_twins;
