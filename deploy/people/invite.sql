-- Invites somebody who will work for the platform or for an installer; prints the link to hand over. See deploy/README.md.
--
--   docker compose exec -T postgres psql -q -U postgres -d solarperform -v url=https://sun.example.org \
--       -v kind=installer -v company='Toits du Sud' -v role=installer -v email=jo@example.org -v name='Jo' < deploy/people/invite.sql
--
-- kind, role: installer, installer · platform, ops · platform, admin · customer, energy_manager. A company that is there by that
-- name and kind takes the person in. The link opens once, for 14 days; the secret in it is kept as a hash only.

\set ON_ERROR_STOP on
BEGIN;

CREATE TEMPORARY TABLE invited ON COMMIT DROP AS
SELECT 'person-' || encode(uuid_send(gen_random_uuid()), 'hex') AS person_id,
       encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'hex') AS token,
       coalesce((SELECT min(id) FROM accounts.organisation WHERE name = :'company' AND kind = :'kind'),
                :'kind' || '-' || encode(substr(uuid_send(gen_random_uuid()), 1, 8), 'hex')) AS organisation_id;

INSERT INTO accounts.organisation (id, name, kind)
SELECT organisation_id, :'company', :'kind' FROM invited ON CONFLICT (id) DO NOTHING;

INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)
SELECT person_id, organisation_id, lower(:'email'), :'name', :'role', '' FROM invited
WHERE (:'kind', :'role') IN
    (('installer', 'installer'), ('platform', 'ops'), ('platform', 'admin'), ('customer', 'energy_manager'));

INSERT INTO accounts.invitation (token_hash, person_id, expires_at)
SELECT sha256(convert_to('solarperform invitation ' || token, 'UTF8')), person_id, now() + interval '14 days' FROM invited;

INSERT INTO audit.entry (action, subject, detail)
SELECT 'person.invite', person_id, jsonb_build_object('role', :'role', 'organisation', organisation_id) FROM invited;

\pset tuples_only on
\pset format unaligned
SELECT :'url' || '/invitation?token=' || token FROM invited;

COMMIT;
