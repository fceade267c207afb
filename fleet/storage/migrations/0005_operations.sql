-- What operations watch of the database's contents: counts and ages over all tenants, and nothing that names one of them.

CREATE INDEX ON imports.file (state_at) WHERE state = 'quarantined';
CREATE INDEX ON pki.certificate (not_after) WHERE superseded_at IS NULL AND revoked_at IS NULL AND der IS NOT NULL;
CREATE INDEX ON imports.pull_source (problem_at) WHERE removed_at IS NULL AND problem_code IS NOT NULL;

-- One line per figure and label (fleet.storage.operations). *_s: ages in seconds; *_time: Unix seconds.
CREATE FUNCTION supervision.operations() RETURNS TABLE (figure text, label text, value double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH waiting_file AS MATERIALIZED (
        SELECT state, received_at FROM imports.file WHERE state IN ('received', 'reading', 'storing', 'undoing')
    ), unsent AS MATERIALIZED (
        SELECT due_at = 'infinity' AS given_up, created_at FROM accounts.mail WHERE sent_at IS NULL
    ), list AS MATERIALIZED (
        SELECT this_update, next_update, proven_at FROM pki.crl ORDER BY number DESC LIMIT 1
    ), in_force AS MATERIALIZED (
        SELECT not_after FROM pki.certificate WHERE superseded_at IS NULL AND revoked_at IS NULL AND der IS NOT NULL
    )
    SELECT 'rollup_days', '', count(*)::double precision FROM telemetry.dirty_day
    UNION ALL SELECT 'rollup_oldest_s', '', coalesce(extract(epoch FROM now() - min(marked_at)), 0) FROM telemetry.dirty_day
    UNION ALL SELECT 'leased_slots', '', coalesce(sum(cardinality(slots)), 0) FROM telemetry.shard_lease
    UNION ALL SELECT 'files', state, count(*) FROM waiting_file GROUP BY state
    UNION ALL SELECT 'files_oldest_s', '', coalesce(extract(epoch FROM now() - min(received_at)), 0) FROM waiting_file
    UNION ALL SELECT 'quarantined_files', '', count(*) FROM imports.file
        WHERE state = 'quarantined' AND state_at > now() - interval '1 day'
    UNION ALL SELECT 'failing_pulls', '', count(*) FROM imports.pull_source
        WHERE removed_at IS NULL AND problem_code IS NOT NULL AND failures >= 3
    UNION ALL SELECT 'mails', CASE WHEN given_up THEN 'given_up' ELSE 'waiting' END, count(*) FROM unsent GROUP BY given_up
    UNION ALL SELECT 'mail_oldest_s', '', coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM unsent WHERE NOT given_up
    UNION ALL SELECT 'alerts', severity, count(*) FROM supervision.alert WHERE resolved_at IS NULL GROUP BY severity
    UNION ALL SELECT 'revocations', '', count(*) FROM pki.revocation WHERE refused_at IS NULL
    UNION ALL SELECT 'revocation_oldest_s', '', coalesce(extract(epoch FROM now() - min(requested_at)), 0)
        FROM pki.revocation WHERE refused_at IS NULL
    UNION ALL SELECT 'revocation_alarms', code, 1 FROM pki.alarm
    UNION ALL SELECT 'crl_signed_time', '', extract(epoch FROM this_update) FROM list
    UNION ALL SELECT 'crl_end_time', '', extract(epoch FROM next_update) FROM list
    UNION ALL SELECT 'crl_proven_time', '', extract(epoch FROM max(proven_at)) FROM pki.crl HAVING max(proven_at) IS NOT NULL
    UNION ALL SELECT 'device_certificates', 'in_force', count(*) FROM in_force WHERE not_after > now()
    UNION ALL SELECT 'device_certificates', 'ending', count(*) FROM in_force
        WHERE not_after > now() AND not_after < now() + interval '14 days'
    UNION ALL SELECT 'device_certificates', 'ended', count(*) FROM in_force WHERE not_after <= now()
    UNION ALL SELECT 'commands', state, count(*) FROM remote.command
        WHERE state IN ('queued', 'sent', 'accepted') GROUP BY state
    UNION ALL SELECT 'rollouts', state, count(*) FROM remote.rollout
        WHERE state IN ('running', 'paused', 'returning') GROUP BY state
    UNION ALL SELECT 'held_rollouts', '', count(*) FROM remote.rollout 
        WHERE state = 'paused' AND stopped IS NOT NULL AND stopped ->> 'person_id' IS NULL  -- by itself, not by somebody
    UNION ALL SELECT 'database_bytes', '', pg_database_size(current_database())
    UNION ALL SELECT 'database_backends', '', count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
    UNION ALL SELECT 'database_backends_max', '', current_setting('max_connections')::double precision
$$;
REVOKE ALL ON FUNCTION supervision.operations FROM PUBLIC;
GRANT EXECUTE ON FUNCTION supervision.operations TO sp_web;
