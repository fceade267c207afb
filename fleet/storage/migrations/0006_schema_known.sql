-- Whoever works with the schema may see which one it is: a process waits for the migrations that it needs, and says so.

GRANT USAGE ON SCHEMA public TO sp_twins, sp_web, sp_pki, sp_guard, sp_notifier, sp_sftp, sp_importer, sp_rollouts;
GRANT SELECT ON public.schema_migration TO sp_twins, sp_web, sp_pki, sp_guard, sp_notifier, sp_sftp, sp_importer, sp_rollouts;
