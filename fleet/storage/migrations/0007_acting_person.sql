-- Who acts is told by SET LOCAL, and no longer by set_config: a database that is spread over machines (Citus) hands SET LOCAL
-- on to the machines that look at the rows, and a function's call not. On one machine nothing changes.

CREATE FUNCTION accounts.act_as(person text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('SET LOCAL sp.person_id = %L', coalesce(person, ''));
END $$;

-- As in 0001 but for its last line.
CREATE OR REPLACE FUNCTION accounts.enter(session_id text, claimed_person_id text)
RETURNS TABLE (id text, organisation_id text, email text, name text, role text, locale text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT p.id, p.organisation_id, p.email, p.name, p.role, p.locale
        FROM accounts.session s JOIN accounts.person p ON p.id = s.person_id
        WHERE s.id = session_id AND s.person_id = claimed_person_id
          AND s.revoked_at IS NULL AND s.expires_at > now() AND p.disabled_at IS NULL;
    PERFORM accounts.act_as(CASE WHEN FOUND THEN claimed_person_id END);
END $$;

REVOKE EXECUTE ON FUNCTION accounts.act_as FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.act_as TO sp_web;
