-- Spreads what grows with time over the machines of a Citus cluster, by site. Run once as the owner of the schema, on the
-- coordinator, after the migrations and while the platform is stopped:
--     psql -v ON_ERROR_STOP=1 --single-transaction -f distribute.sql
-- deploy/citus/README.md tells what comes before and after, and what it costs.

SET LOCAL citus.multi_shard_modify_mode = 'sequential';  -- reference tables and distributed tables in one transaction

-- who sees which site, on every machine ----------------------------------------------------------------------------
-- Citus takes no policy that holds a subquery, and rows are looked at where they lie. So the few facts that the tenants'
-- policies are made of are copied to every machine; triggers keep the copies in step within the same transaction.

CREATE SCHEMA spread;
CREATE TABLE spread.person (
    id               text COLLATE "C" PRIMARY KEY,
    organisation_id  text COLLATE "C" NOT NULL,
    role             text NOT NULL
);
CREATE TABLE spread.site (
    id                         text COLLATE "C" PRIMARY KEY,
    customer_organisation_id   text COLLATE "C" NOT NULL,
    installer_organisation_id  text COLLATE "C"
);
CREATE TABLE spread.site_share (
    site_id    text COLLATE "C" NOT NULL,
    person_id  text COLLATE "C" NOT NULL,
    PRIMARY KEY (site_id, person_id)
);
INSERT INTO spread.person SELECT id, organisation_id, role FROM accounts.person WHERE disabled_at IS NULL;
INSERT INTO spread.site SELECT id, customer_organisation_id, installer_organisation_id FROM registry.site;
INSERT INTO spread.site_share SELECT site_id, person_id FROM registry.site_share;
SELECT create_reference_table('spread.person');
SELECT create_reference_table('spread.site');
SELECT create_reference_table('spread.site_share');

CREATE FUNCTION spread.copy_person() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM spread.person WHERE id = OLD.id;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.disabled_at IS NULL THEN
        INSERT INTO spread.person (id, organisation_id, role) VALUES (NEW.id, NEW.organisation_id, NEW.role);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER spread AFTER INSERT OR DELETE OR UPDATE OF id, organisation_id, role, disabled_at ON accounts.person
    FOR EACH ROW EXECUTE FUNCTION spread.copy_person();

CREATE FUNCTION spread.copy_site() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM spread.site WHERE id = OLD.id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO spread.site (id, customer_organisation_id, installer_organisation_id)
        VALUES (NEW.id, NEW.customer_organisation_id, NEW.installer_organisation_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER spread AFTER INSERT OR DELETE OR UPDATE OF id, customer_organisation_id, installer_organisation_id
    ON registry.site FOR EACH ROW EXECUTE FUNCTION spread.copy_site();

CREATE FUNCTION spread.copy_share() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM spread.site_share WHERE site_id = OLD.site_id AND person_id = OLD.person_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO spread.site_share (site_id, person_id) VALUES (NEW.site_id, NEW.person_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER spread AFTER INSERT OR DELETE OR UPDATE ON registry.site_share
    FOR EACH ROW EXECUTE FUNCTION spread.copy_share();

-- The same answer as registry.sees_all_sites() and registry.visible_site_ids() together, for one site. The person comes by
-- SET LOCAL (accounts.act_as). The setting lets the look-up, which is local on every machine, happen within a shard's query.
CREATE FUNCTION spread.sees(of_site text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET citus.allow_nested_distributed_execution = on AS $$
    SELECT EXISTS (
        SELECT FROM spread.person p
        WHERE p.id = current_setting('sp.person_id', true)
          AND (p.role IN ('ops', 'admin')
               OR EXISTS (SELECT FROM spread.site s WHERE s.id = of_site
                          AND ((p.role IN ('customer', 'energy_manager') AND s.customer_organisation_id = p.organisation_id)
                               OR (p.role = 'installer' AND s.installer_organisation_id = p.organisation_id)))
               OR EXISTS (SELECT FROM spread.site_share h WHERE h.site_id = of_site AND h.person_id = p.id)))
$$;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA spread FROM PUBLIC;
GRANT USAGE ON SCHEMA spread TO sp_web;
GRANT EXECUTE ON FUNCTION spread.sees TO sp_web;
SELECT create_distributed_function('spread.sees(text)');
ALTER ROLE sp_web SET citus.propagate_set_commands = 'local';  -- SET LOCAL reaches the machines that look at the rows

DROP POLICY tenant ON telemetry.sample;
DROP POLICY tenant ON telemetry.sample_revision;
DROP POLICY tenant ON telemetry.site_day;
DROP POLICY tenant ON telemetry.counter_event;
DROP POLICY tenant ON telemetry.dirty_day;
CREATE POLICY tenant ON telemetry.sample FOR ALL TO sp_web USING (spread.sees(site_id));
CREATE POLICY tenant ON telemetry.sample_revision FOR ALL TO sp_web USING (spread.sees(site_id));
CREATE POLICY tenant ON telemetry.site_day FOR ALL TO sp_web USING (spread.sees(site_id));
CREATE POLICY tenant ON telemetry.counter_event FOR ALL TO sp_web USING (spread.sees(site_id));
CREATE POLICY tenant ON telemetry.dirty_day FOR ALL TO sp_web USING (spread.sees(site_id));

-- what grows with time ---------------------------------------------------------------------------------------------
-- Together, so that a site's rows and its marks lie on one machine and are committed there as one. sample goes with all its
-- partitions, and later ones follow it.

SELECT create_distributed_table('telemetry.sample', 'site_id', colocate_with => 'none');
SELECT create_distributed_table('telemetry.sample_revision', 'site_id', colocate_with => 'telemetry.sample');
SELECT create_distributed_table('telemetry.site_day', 'site_id', colocate_with => 'telemetry.sample');
SELECT create_distributed_table('telemetry.counter_event', 'site_id', colocate_with => 'telemetry.sample');
SELECT create_distributed_table('telemetry.dirty_day', 'site_id', colocate_with => 'telemetry.sample');

SELECT create_distributed_function('telemetry.merged(double precision[], double precision[])');
SELECT create_distributed_function('telemetry.ranks_after_filling(double precision[], bigint, bigint[])');
SELECT create_distributed_function('telemetry.ranked(double precision[], bigint, bigint[], double precision[], bigint)');
SELECT create_distributed_function('telemetry.retract_file(text, text, timestamptz, timestamptz, bigint)', 'of_site',
                                   colocate_with => 'telemetry.sample');
