-- Whom a command for many devices is for, device by device, as it was confirmed: one that was cut short is completed for these,
-- whatever the selection means by then. NULL: begun by a release that did not note it.
ALTER TABLE remote.command_batch ADD COLUMN addressed text[] COLLATE "C";
