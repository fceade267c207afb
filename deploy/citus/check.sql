-- Who sees what once it is distributed: as each person, the sites of telemetry.site_day against those of the registry. Run as the
-- owner of the schema on the coordinator. Each row that it prints is a person for whom the two differ; there must be none.
-- The days of the last week are looked at: sites without any say nothing.

BEGIN;
SET LOCAL citus.propagate_set_commands = 'local';
CREATE TEMP TABLE seen (person_id text, site_id text, why text) ON COMMIT DROP;
GRANT INSERT ON seen TO sp_web;
CREATE TEMP TABLE asked ON COMMIT DROP AS
    (SELECT id FROM accounts.person WHERE role IN ('ops', 'admin') AND disabled_at IS NULL LIMIT 2)
    UNION (SELECT id FROM accounts.person WHERE role IN ('customer', 'energy_manager') AND disabled_at IS NULL LIMIT 50)
    UNION (SELECT id FROM accounts.person WHERE role = 'installer' AND disabled_at IS NULL LIMIT 20)
    UNION (SELECT person_id FROM registry.site_share LIMIT 20)
    UNION (SELECT id FROM accounts.person WHERE disabled_at IS NOT NULL LIMIT 5);
CREATE TEMP TABLE with_days ON COMMIT DROP AS
    SELECT DISTINCT site_id FROM telemetry.site_day WHERE day > current_date - 7;
GRANT SELECT ON with_days TO sp_web;
DO $$
DECLARE
    person text;
BEGIN
    FOR person IN SELECT id FROM asked LOOP
        SET LOCAL ROLE sp_web;
        PERFORM accounts.act_as(person);
        INSERT INTO pg_temp.seen SELECT DISTINCT person, site_id, 'telemetry' FROM telemetry.site_day WHERE day > current_date - 7;
        INSERT INTO pg_temp.seen SELECT person, s.id, 'registry' FROM registry.site s JOIN pg_temp.with_days d ON d.site_id = s.id;
        RESET ROLE;
    END LOOP;
END $$;
SELECT person_id, site_id, string_agg(why, ', ') AS seen_only_in FROM seen GROUP BY person_id, site_id HAVING count(*) <> 2;
ROLLBACK;
