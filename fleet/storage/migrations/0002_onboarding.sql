-- Onboarding: claims, the certificate authority's ledger, revocation, corrections, replacement, reports, invitations, mail.
--
-- Further roles (created by fleet.storage.migrate):
--   sp_guard     beside the broker: installs revocation lists, cuts revoked devices off, says what it has proven
--   sp_notifier  sends e-mail

-- registry ---------------------------------------------------------------------------------------------------------

-- arrays: list of fleet.commissioning.PvArray. pdl: the 14 digits of the grid connection (Enedis). request_id: a form that
-- is sent twice, after the network was lost in between, makes one site; it begins with the person whose form it is.
-- owner_email, owner_name: as the installer gave them. He is shown these, and nothing that the owner's account says.
ALTER TABLE registry.site
    ADD COLUMN owner_email text NOT NULL DEFAULT '',
    ADD COLUMN owner_name text NOT NULL DEFAULT '',
    ADD COLUMN address text NOT NULL DEFAULT '',
    ADD COLUMN pdl text CHECK (pdl ~ '^[0-9]{14}$'),
    ADD COLUMN arrays jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN request_id text UNIQUE;

-- A device is a place in a site: its id stays when the hardware is replaced. gateway_id: who speaks for it.
ALTER TABLE registry.device
    ADD COLUMN gateway_id text COLLATE "C" REFERENCES registry.device,
    ADD COLUMN enrolled_at timestamptz,
    ADD COLUMN revoked_at timestamptz,
    ADD CONSTRAINT device_id_form CHECK (id ~ '^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$');  -- fleet.ids; access lists hold it
CREATE INDEX ON registry.device (id) WHERE revoked_at IS NOT NULL;

-- Every version of a profile that there ever was; registry.profile holds the one in force. created_by NULL: shipped.
ALTER TABLE registry.profile ADD COLUMN version integer NOT NULL DEFAULT 1;
CREATE TABLE registry.profile_version (
    profile_id  text COLLATE "C" NOT NULL REFERENCES registry.profile,
    version     integer NOT NULL,
    definition  jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text COLLATE "C",
    note        text NOT NULL DEFAULT '',
    PRIMARY KEY (profile_id, version)
);

-- From `at` on the place has other hardware: its counters start anew there, and what they jump by is no energy.
CREATE TABLE registry.replacement (
    site_id     text COLLATE "C" NOT NULL REFERENCES registry.site,
    device_id   text COLLATE "C" NOT NULL REFERENCES registry.device,
    at          timestamptz NOT NULL,
    old_serial  text,
    new_serial  text,
    person_id   text COLLATE "C",
    PRIMARY KEY (site_id, device_id, at)
);

-- What is wrong with what a device says, and from when on. Samples keep what was said; a correction is applied when they are
-- read, but for 'clock', which moves them in time. Undoing one brings back exactly what was before.
--   sign    value -1: power is negated; at a meter import and export change places as well
--   factor  `measure` is multiplied by value (1000: it says kW)
--   offset  value is added to `measure`, in its unit
--   clock   value seconds are added to the time of its samples; measure ''
CREATE TABLE registry.correction (
    id          text COLLATE "C" NOT NULL,
    site_id     text COLLATE "C" NOT NULL REFERENCES registry.site,
    device_id   text COLLATE "C" NOT NULL REFERENCES registry.device,
    kind        text NOT NULL CHECK (kind IN ('sign', 'factor', 'offset', 'clock')),
    measure     text NOT NULL DEFAULT '',
    value       double precision NOT NULL,
    from_time   timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text COLLATE "C",
    undone_at   timestamptz,
    undone_by   text COLLATE "C",
    PRIMARY KEY (site_id, id)
);
CREATE INDEX ON registry.correction (site_id, device_id);

-- How far a clock correction has moved a sample: the device told time - shift_ms. NULL: not at all.
ALTER TABLE telemetry.sample ADD COLUMN shift_ms bigint;
-- What was told, where `readings`, which is shown, is a correction of it.
ALTER TABLE telemetry.device_latest ADD COLUMN told double precision[];

-- Corrections (made, and undone) and replacements that samples and energy have followed; the others are waiting for their shard.
CREATE TABLE telemetry.counted_change (
    site_id  text COLLATE "C" NOT NULL,
    change   text COLLATE "C" NOT NULL,
    PRIMARY KEY (site_id, change)
);
ALTER TABLE telemetry.counted_change ENABLE ROW LEVEL SECURITY;
CREATE POLICY twins ON telemetry.counted_change FOR ALL TO sp_twins USING (true);

CREATE TABLE registry.commissioning_report (
    site_id      text COLLATE "C" NOT NULL REFERENCES registry.site,
    number       integer NOT NULL,
    signed_at    timestamptz NOT NULL DEFAULT now(),
    signed_by    text COLLATE "C" NOT NULL,
    signed_name  text NOT NULL,
    content      jsonb NOT NULL,       -- what the document was made from
    pdf          bytea NOT NULL,
    sha256       bytea NOT NULL,
    request_id   text UNIQUE,          -- as registry.site's
    PRIMARY KEY (site_id, number)
);

-- Serials that a gateway speaks for and that no device of the site has: they wait here, visibly, until attached or created.
CREATE TABLE telemetry.waiting_source (
    site_id        text COLLATE "C" NOT NULL,
    gateway_id     text COLLATE "C" NOT NULL,
    serial         text NOT NULL,
    first_seen_at  timestamptz NOT NULL,
    last_seen_at   timestamptz NOT NULL,
    measures       text[] NOT NULL,
    PRIMARY KEY (site_id, gateway_id, serial)
);

-- The serial that a kept message (code unknown_source) is about; it becomes samples once a device has it.
ALTER TABLE telemetry.dead_letter ADD COLUMN source text;
CREATE INDEX ON telemetry.dead_letter (site_id, source, id) WHERE source IS NOT NULL;

-- pki --------------------------------------------------------------------------------------------------------------

-- The right to enrol one device once. device_id is reserved for it; `replaces`: the device exists, its hardware changes.
-- code_hash: SHA-256 of a code of 130 random bits, which no table of guesses reaches, so a slow hash would add nothing.
CREATE TABLE pki.claim (
    id            text COLLATE "C" PRIMARY KEY,
    site_id       text COLLATE "C" NOT NULL REFERENCES registry.site,
    device_id     text COLLATE "C" NOT NULL CHECK (device_id NOT LIKE 'sp-%' AND device_id ~ '^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$'),
    profile_id    text COLLATE "C" NOT NULL REFERENCES registry.profile,
    device_name   text NOT NULL,
    serial        text,
    replaces      boolean NOT NULL DEFAULT false,
    code_hash     bytea NOT NULL,
    created_by    text COLLATE "C",
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    wrong_tries   integer NOT NULL DEFAULT 0,
    locked_at     timestamptz,
    cancelled_at  timestamptz,
    used_at       timestamptz,
    used_key_hash bytea,               -- of the key that it was used for: the same device may ask for its answer again
    problem_code  text,                -- what its last try failed by, for the installer's screen
    problem_at    timestamptz,
    request_id    text UNIQUE          -- as registry.site's
);
CREATE INDEX ON pki.claim (site_id, created_at);

-- The ledger. A row stands before the signature (intent_at), so a serial that was ever used is known whatever is killed when.
-- der NULL: not signed (yet). A certificate is in force when it is signed, not superseded and not revoked. superseded_at: a
-- successor was issued; it is revoked once that one has been used (confirmed_at), so a device that lost the answer is not
-- locked out.
CREATE TABLE pki.certificate (
    serial         text COLLATE "C" PRIMARY KEY CHECK (serial ~ '^[0-9a-f]{1,40}$'),
    site_id        text COLLATE "C" NOT NULL,
    device_id      text COLLATE "C" NOT NULL,
    key_hash       bytea NOT NULL,                 -- SHA-256 of the public key (SubjectPublicKeyInfo, DER)
    claim_id       text COLLATE "C",
    renews         text COLLATE "C",               -- serial of the certificate that it follows
    intent_at      timestamptz NOT NULL,
    not_before     timestamptz NOT NULL,
    not_after      timestamptz NOT NULL,
    der            bytea,
    confirmed_at   timestamptz,
    superseded_at  timestamptz,
    revoked_at     timestamptz,
    reason         text,
    crl_number     bigint                          -- the first list that names it
);
CREATE INDEX ON pki.certificate (device_id);
CREATE INDEX ON pki.certificate (site_id);
CREATE INDEX ON pki.certificate (claim_id);
CREATE INDEX ON pki.certificate (renews);
CREATE INDEX ON pki.certificate (not_after) WHERE revoked_at IS NOT NULL;
CREATE INDEX ON pki.certificate (serial) WHERE revoked_at IS NOT NULL AND crl_number IS NULL;
CREATE UNIQUE INDEX certificate_one_in_force ON pki.certificate (device_id) WHERE superseded_at IS NULL AND revoked_at IS NULL;

-- A revocation and how far it has got, step by step; each time is the moment at which that step was done and seen to work.
CREATE TABLE pki.revocation (
    id            text COLLATE "C" PRIMARY KEY,
    site_id       text COLLATE "C" NOT NULL,
    device_id     text COLLATE "C" NOT NULL REFERENCES registry.device,
    reason        text NOT NULL CHECK (reason IN ('lost', 'stolen', 'compromised', 'replaced', 'retired', 'other')),
    note          text NOT NULL DEFAULT '',
    requested_by  text COLLATE "C",
    requested_at  timestamptz NOT NULL DEFAULT now(),
    crl_number    bigint,              -- the first list that holds its certificates: signed by the authority
    signed_at     timestamptz,
    denied_at     timestamptz,         -- the broker's access list denies the device everything
    installed_at  timestamptz,         -- the list lies where the broker reads it, verified, and the broker was told
    kicked_at     timestamptz,         -- its session was taken over: a live connection is gone
    refused_at    timestamptz,         -- a connection with a certificate of the same list was refused
    attempts      integer NOT NULL DEFAULT 0,
    problem       text                 -- why it is not done yet
);
CREATE INDEX ON pki.revocation (site_id, device_id);
CREATE INDEX ON pki.revocation (requested_at) WHERE refused_at IS NULL;

-- Revocation lists, signed by the devices' authority. Each brings a canary: a certificate, with its key, that this list
-- revokes first. When the broker refuses it, it has read this list.
CREATE TABLE pki.crl (
    number        bigint PRIMARY KEY,
    der           bytea NOT NULL,
    this_update   timestamptz NOT NULL,
    next_update   timestamptz NOT NULL,
    canary_chain  text NOT NULL,
    canary_key    text NOT NULL,
    installed_at  timestamptz,
    proven_at     timestamptz
);

-- What is wrong with revocation itself, for operations: one row per problem while it lasts.
CREATE TABLE pki.alarm (
    code        text COLLATE "C" PRIMARY KEY,
    detail      text NOT NULL,
    raised_at   timestamptz NOT NULL DEFAULT now(),
    last_at     timestamptz NOT NULL DEFAULT now(),
    times       bigint NOT NULL DEFAULT 1
);

-- Whom the broker has to deny everything: revoked, and without a valid certificate since. (A superseded one is valid until
-- its successor was used.)
CREATE VIEW pki.denied_device AS
    SELECT DISTINCT r.device_id FROM pki.revocation r
    WHERE NOT EXISTS (SELECT FROM pki.certificate c WHERE c.device_id = r.device_id
                      AND c.revoked_at IS NULL AND c.der IS NOT NULL AND c.intent_at > r.requested_at);

-- accounts ---------------------------------------------------------------------------------------------------------

-- How a site's owner gets a password. A person with password_hash '' has none yet and cannot sign in.
CREATE TABLE accounts.invitation (
    token_hash  bytea PRIMARY KEY,
    person_id   text COLLATE "C" NOT NULL REFERENCES accounts.person ON DELETE CASCADE,
    site_id     text COLLATE "C",
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz
);

-- E-mail to send; sp_notifier takes it from here.
CREATE TABLE accounts.mail (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient   text NOT NULL,
    subject     text NOT NULL,
    body        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    due_at      timestamptz NOT NULL DEFAULT now(),
    attempts    integer NOT NULL DEFAULT 0,
    sent_at     timestamptz,
    problem     text
);
CREATE INDEX ON accounts.mail (due_at) WHERE sent_at IS NULL;

-- who sees what ----------------------------------------------------------------------------------------------------

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['registry.replacement', 'registry.correction', 'registry.commissioning_report',
        'telemetry.waiting_source', 'pki.claim', 'pki.certificate', 'pki.revocation']
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY tenant ON %s FOR ALL TO sp_web USING ((SELECT registry.sees_all_sites()) OR '
                       'site_id IN (SELECT registry.visible_site_ids()))', tenant_table);
    END LOOP;
    FOREACH tenant_table IN ARRAY ARRAY['registry.replacement', 'registry.correction', 'telemetry.waiting_source']
    LOOP
        EXECUTE format('CREATE POLICY twins ON %s FOR ALL TO sp_twins USING (true)', tenant_table);
    END LOOP;
    FOREACH tenant_table IN ARRAY ARRAY['pki.claim', 'pki.certificate', 'pki.revocation', 'registry.replacement']
    LOOP
        EXECUTE format('CREATE POLICY pki ON %s FOR ALL TO sp_pki USING (true)', tenant_table);
    END LOOP;
    FOREACH tenant_table IN ARRAY ARRAY['pki.certificate', 'pki.revocation']
    LOOP
        EXECUTE format('CREATE POLICY guard ON %s FOR ALL TO sp_guard USING (true)', tenant_table);
    END LOOP;
END $$;
CREATE POLICY device_enrol ON registry.device FOR INSERT TO sp_pki WITH CHECK (true);
CREATE POLICY device_change ON registry.device FOR UPDATE TO sp_pki USING (true);
CREATE POLICY audit_write_pki ON audit.entry FOR INSERT TO sp_pki, sp_guard, sp_notifier WITH CHECK (true);

-- Who keeps a site: the company that installed it, and operations. Not an installer whom it is merely shared with.
CREATE FUNCTION registry.keeps(of_site text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT registry.sees_all_sites()
        OR EXISTS (SELECT FROM registry.site s JOIN accounts.person p ON p.organisation_id = s.installer_organisation_id
                   WHERE s.id = of_site AND p.id = accounts.acting_person_id() AND p.disabled_at IS NULL AND p.role = 'installer')
$$;
-- Who may revoke: operations, and the owner (whose organisation has the site; not whom it is shared with).
CREATE FUNCTION registry.is_owner(of_site text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM registry.site s JOIN accounts.person p ON p.organisation_id = s.customer_organisation_id
                   WHERE s.id = of_site AND p.id = accounts.acting_person_id() AND p.disabled_at IS NULL
                     AND p.role IN ('customer', 'energy_manager'))
$$;
CREATE POLICY revocation_makers ON pki.revocation AS RESTRICTIVE FOR INSERT TO sp_web
    WITH CHECK ((SELECT registry.sees_all_sites()) OR registry.is_owner(site_id));

-- Who may hand out the right to enrol, add devices, correct what they say, and sign for a site: who keeps it.
DO $$
DECLARE
    of_keepers text;
BEGIN
    FOREACH of_keepers IN ARRAY ARRAY['pki.claim', 'registry.device', 'registry.replacement', 'registry.correction',
        'registry.commissioning_report']
    LOOP
        EXECUTE format('CREATE POLICY makers ON %s AS RESTRICTIVE FOR INSERT TO sp_web WITH CHECK (registry.keeps(site_id))',
                       of_keepers);
    END LOOP;
    FOREACH of_keepers IN ARRAY ARRAY['pki.claim', 'registry.correction']
    LOOP
        EXECUTE format('CREATE POLICY changers ON %s AS RESTRICTIVE FOR UPDATE TO sp_web USING (registry.keeps(site_id))',
                       of_keepers);
    END LOOP;
END $$;
CREATE POLICY changers ON registry.site AS RESTRICTIVE FOR UPDATE TO sp_web USING (registry.keeps(id));

-- Whom the number of the grid connection is shown to in full: owner, installer, operations; not those it is shared with.
CREATE FUNCTION registry.may_see_pdl(of_site text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT registry.keeps(of_site) OR registry.is_owner(of_site)
$$;

-- A new site with its owner: row-level security shows nobody a site before it exists, so it is made past it. An e-mail address
-- that a customer has already makes him the owner; a new one makes a person without a password. Neither is told apart.
-- outcome: made | known (the same form came before) | not_allowed | owner_email_unusable | id_taken
CREATE FUNCTION registry.create_site(
    new_id text, new_slot smallint, new_name text, new_timezone text, new_latitude double precision,
    new_longitude double precision, new_peak_power_w double precision, new_department text, new_address text, new_pdl text,
    new_arrays jsonb, new_request_id text, new_person_id text, new_organisation_id text, new_owner_email text,
    new_owner_name text, new_owner_locale text
) RETURNS TABLE (site_id text, outcome text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    maker accounts.person;
    owner accounts.person;
    known text;
BEGIN
    SELECT * INTO maker FROM accounts.person WHERE id = accounts.acting_person_id() AND disabled_at IS NULL;
    IF maker.role IS NULL OR maker.role NOT IN ('installer', 'ops', 'admin') THEN
        RETURN QUERY SELECT NULL::text, 'not_allowed';
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('registry.create_site request ' || coalesce(new_request_id, new_id), 0));
    PERFORM pg_advisory_xact_lock(hashtextextended('registry.create_site owner ' || new_owner_email, 0));
    SELECT id INTO known FROM registry.site WHERE request_id = new_request_id;
    IF known IS NOT NULL THEN
        RETURN QUERY SELECT known, 'known';
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM registry.site WHERE id = new_id) THEN
        RETURN QUERY SELECT NULL::text, 'id_taken';
        RETURN;
    END IF;
    SELECT * INTO owner FROM accounts.person WHERE email = new_owner_email;
    IF owner.id IS NULL THEN
        INSERT INTO accounts.organisation (id, name, kind) VALUES (new_organisation_id, new_owner_name, 'customer');
        INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash, locale)
        VALUES (new_person_id, new_organisation_id, new_owner_email, new_owner_name, 'customer', '', new_owner_locale)
        RETURNING * INTO owner;
    ELSIF owner.role NOT IN ('customer', 'energy_manager') OR owner.disabled_at IS NOT NULL THEN
        RETURN QUERY SELECT NULL::text, 'owner_email_unusable';
        RETURN;
    END IF;
    INSERT INTO registry.site (id, slot, name, timezone, latitude, longitude, peak_power_w, department, address, pdl, arrays,
                               request_id, owner_email, owner_name, customer_organisation_id, installer_organisation_id)
    VALUES (new_id, new_slot, new_name, new_timezone, new_latitude, new_longitude, new_peak_power_w, new_department,
            new_address, new_pdl, new_arrays, new_request_id, new_owner_email, new_owner_name, owner.organisation_id,
            CASE WHEN maker.role = 'installer' THEN maker.organisation_id END);
    RETURN QUERY SELECT new_id, 'made';
END $$;

-- The site's owner, for the mail that tells him of it, and an invitation if he has no password yet. No row: no such owner, or
-- the acting person may not invite.
CREATE FUNCTION accounts.invite_owner(of_site text, new_token_hash bytea, days integer)
RETURNS TABLE (email text, name text, locale text, can_sign_in boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    owner accounts.person;
BEGIN
    IF NOT registry.keeps(of_site) THEN
        RETURN;
    END IF;
    SELECT p.* INTO owner FROM registry.site s JOIN accounts.person p ON p.organisation_id = s.customer_organisation_id
    WHERE s.id = of_site AND p.disabled_at IS NULL AND p.role IN ('customer', 'energy_manager')
    ORDER BY p.email = s.owner_email DESC, p.created_at, p.id LIMIT 1;
    IF owner.id IS NULL THEN
        RETURN;
    END IF;
    IF owner.password_hash = '' THEN
        INSERT INTO accounts.invitation (token_hash, person_id, site_id, expires_at)
        VALUES (new_token_hash, owner.id, of_site, now() + make_interval(days => days));
    END IF;
    RETURN QUERY SELECT owner.email, owner.name, owner.locale, owner.password_hash <> '';
END $$;

-- The language of what is written for the site's owner; NULL: no owner, or not the acting person's to know.
CREATE FUNCTION accounts.owner_locale(of_site text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.locale FROM registry.site s JOIN accounts.person p ON p.organisation_id = s.customer_organisation_id
    WHERE s.id = of_site AND p.disabled_at IS NULL AND p.role IN ('customer', 'energy_manager')
      AND registry.keeps(of_site)
    ORDER BY p.email = s.owner_email DESC, p.created_at, p.id LIMIT 1
$$;

-- Who comes with this token, before there is an acting person. state: open | used | expired; no row: no such invitation.
CREATE FUNCTION accounts.invitation_of(given_token_hash bytea)
RETURNS TABLE (state text, person_id text, email text, name text, locale text, site_id text, site_name text, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN i.used_at IS NOT NULL OR p.password_hash <> '' THEN 'used' WHEN i.expires_at <= now() THEN 'expired'
                ELSE 'open' END,
           p.id, p.email, p.name, p.locale, s.id, s.name, i.expires_at
    FROM accounts.invitation i JOIN accounts.person p ON p.id = i.person_id LEFT JOIN registry.site s ON s.id = i.site_id
    WHERE i.token_hash = given_token_hash AND p.disabled_at IS NULL
$$;

-- Sets the password, once. Returns the person; NULL when the invitation is not open (any more).
CREATE FUNCTION accounts.accept_invitation(given_token_hash bytea, hash text, new_name text, new_locale text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    invited text;
    accepted text;
BEGIN
    SELECT i.person_id INTO invited FROM accounts.invitation i
    WHERE i.token_hash = given_token_hash AND i.used_at IS NULL AND i.expires_at > now() FOR UPDATE;
    UPDATE accounts.person SET password_hash = hash, name = new_name, locale = new_locale
    WHERE id = invited AND password_hash = '' AND disabled_at IS NULL RETURNING id INTO accepted;
    IF accepted IS NOT NULL THEN
        UPDATE accounts.invitation SET used_at = now() WHERE person_id = accepted AND used_at IS NULL;
    END IF;
    RETURN accepted;
END $$;

-- A device id that is free at the time: claims reserve theirs.
CREATE FUNCTION registry.device_exists(wanted text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM registry.device WHERE id = wanted) OR EXISTS (SELECT FROM pki.claim WHERE device_id = wanted)
$$;

-- least privilege --------------------------------------------------------------------------------------------------

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA accounts, registry, telemetry, pki FROM PUBLIC;
GRANT EXECUTE ON FUNCTION registry.is_owner, registry.keeps, registry.device_exists, registry.may_see_pdl, registry.create_site,
    accounts.invite_owner, accounts.owner_locale, accounts.invitation_of, accounts.accept_invitation TO sp_web;

GRANT SELECT ON registry.replacement, registry.correction, registry.profile_version TO sp_twins;
GRANT SELECT, INSERT, UPDATE, DELETE ON telemetry.waiting_source, telemetry.counted_change TO sp_twins;

GRANT USAGE ON SCHEMA pki TO sp_web;
GRANT SELECT ON pki.claim, pki.certificate, pki.revocation, pki.alarm, telemetry.waiting_source, registry.profile_version,
    registry.replacement, registry.correction, registry.commissioning_report TO sp_web;
GRANT INSERT ON pki.claim, pki.revocation, registry.replacement, registry.correction, registry.commissioning_report,
    registry.profile_version TO sp_web;
GRANT UPDATE (cancelled_at) ON pki.claim TO sp_web;
GRANT UPDATE (undone_at, undone_by) ON registry.correction TO sp_web;
GRANT INSERT, UPDATE ON registry.profile TO sp_web;
GRANT INSERT (recipient, subject, body) ON accounts.mail TO sp_web;

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pki TO sp_pki;
GRANT SELECT, INSERT, UPDATE ON registry.device, registry.replacement TO sp_pki;
GRANT SELECT ON registry.profile TO sp_pki;
GRANT INSERT ON audit.entry TO sp_pki, sp_guard, sp_notifier;

GRANT USAGE ON SCHEMA pki, audit TO sp_guard;
GRANT SELECT ON pki.crl, pki.certificate, pki.revocation, pki.denied_device, pki.alarm TO sp_guard;
GRANT UPDATE ON pki.revocation, pki.crl TO sp_guard;
GRANT INSERT, UPDATE, DELETE ON pki.alarm TO sp_guard, sp_pki;

GRANT USAGE ON SCHEMA accounts, audit TO sp_notifier;
GRANT SELECT, UPDATE ON accounts.mail TO sp_notifier;
