-- What a user sees of counting: reasons, rules, classes.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
\pset null '(null)'

SELECT unnest(enum_range(NULL::eiot.count_reason)) AS count_reason;
SELECT unnest(enum_range(NULL::eiot.device_class)) AS device_class;

-- One device, and one thing about it changed at a time.
SELECT what, eiot.count_reason(class, status, last_seen, '2026-08-12', '30 days', merged_into, excluded, transient, ip) AS reason
  FROM (VALUES
    ('a printer', 'iot'::eiot.device_class, 'Unsupported', timestamptz '2026-08-11', NULL, false, false, inet '10.20.30.41'),
    ('a switch', 'network', 'Unsupported', '2026-08-11', NULL, false, false, '10.20.30.41'),
    ('managed', 'iot', 'Onboarded', '2026-08-11', NULL, false, false, '10.20.30.41'),
    ('not managed yet', 'iot', 'Can be onboarded', '2026-08-11', NULL, false, false, '10.20.30.41'),
    ('seen 30 days ago', 'iot', 'Unsupported', '2026-07-13', NULL, false, false, '10.20.30.41'),
    ('seen before that', 'iot', 'Unsupported', '2026-07-12 23:59:59.999999', NULL, false, false, '10.20.30.41'),
    ('merged', 'iot', 'Unsupported', '2026-08-11', 'f00d', false, false, '10.20.30.41'),
    ('excluded', 'iot', 'Unsupported', '2026-08-11', NULL, true, false, '10.20.30.41'),
    ('transient', 'iot', 'Unsupported', '2026-08-11', NULL, false, true, '10.20.30.41'),
    ('public address', 'iot', 'Unsupported', '2026-08-11', NULL, false, false, '203.0.113.7'),
    ('multicast', 'iot', 'Unsupported', '2026-08-11', NULL, false, false, 'ff02::fb'),
    ('broadcast', 'iot', 'Unsupported', '2026-08-11', NULL, false, false, '10.20.30.255/24'),
    ('nothing known but the class', 'iot', NULL, NULL, NULL, NULL, NULL, NULL),
    ('nothing known', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('excluded long ago', 'iot', 'Unsupported', '2020-01-01', NULL, true, true, '203.0.113.7')
  ) v(what, class, status, last_seen, merged_into, excluded, transient, ip);
SELECT eiot.count_reason('iot', NULL, '2026-08-01', '2026-08-12', '-30 days', NULL, false, false, NULL);
SELECT eiot.active_since('2026-08-12', '30 days'), eiot.active_since('2026-08-12', '1 month'), eiot.active_since('2026-08-12', NULL);
SELECT eiot.counts(64::smallint, NULL, 0, NULL);

-- Rules are dated data.
SELECT column_name, data_type, is_nullable, column_default
  FROM information_schema.columns WHERE table_schema = 'eiot' AND table_name = 'counting_rule' ORDER BY ordinal_position;
SELECT name, valid, counted_classes AS counts, inactive_after AS after, rounding, rounding_step AS step, trial_devices, trial_days
  FROM eiot.counting_rule WHERE shipped ORDER BY valid, name COLLATE "C";
SELECT day, (eiot.counting_rule_at(day)).name, (eiot.counting_rule_at(day)).counted_classes
  FROM (VALUES (timestamptz '2022-07-05 23:59:59+00'), ('2022-07-06 00:00:00+00'), ('2023-09-13 12:00:00+00'), ('2023-11-01 00:00:00+00'), ('2026-08-12 00:00:00+00')) v(day);

-- A rule of one's own beside them: drafts apply to who is pinned to them, two rules in force at once to nobody.
BEGIN;
INSERT INTO eiot.counting_rule (name, counted_classes, inactive_after) VALUES ('ours', '{iot,ot}', '7 days');
SELECT name, valid, counted_classes, inactive_after, count_excluded, count_transient, rounding, shipped FROM eiot.counting_rule WHERE name = 'ours';
SELECT eiot.count_reason_under('ot', NULL, '2026-08-04', '2026-08-12', r, NULL, false, false, NULL),
       eiot.count_reason_under('ot', NULL, '2026-08-05', '2026-08-12', r, NULL, false, false, NULL),
       eiot.count_reason_under('bms', NULL, '2026-08-05', '2026-08-12', r, NULL, false, false, NULL)
  FROM eiot.counting_rule r WHERE name = 'ours';
UPDATE eiot.counting_rule SET valid = '[2026-08-01,)' WHERE name = 'ours';
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
BEGIN;
UPDATE eiot.counting_rule SET valid = '[2026-07-02,2026-08-01)' WHERE name = '2026-07';
INSERT INTO eiot.counting_rule (name, valid, counted_classes, inactive_after) VALUES ('ours', '[2026-08-01,)', '{iot,ot}', '7 days');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT (eiot.counting_rule_at('2026-07-31')).name, (eiot.counting_rule_at('2026-08-01')).name;
SELECT name, shipped, overrides FROM eiot.counting_rule WHERE name IN ('2024-06', '2026-07', 'ours') ORDER BY name COLLATE "C";
ROLLBACK;
DELETE FROM eiot.counting_rule WHERE name = '2026-07';
UPDATE eiot.counting_rule SET name = 'ours' WHERE name = '2026-07';
INSERT INTO eiot.counting_rule (name, counted_classes) VALUES ('bad', '{toaster}');
-- Without the DETAIL, which is the whole row.
\set VERBOSITY terse
INSERT INTO eiot.counting_rule (name, counted_classes, inactive_after) VALUES ('bad', '{iot}', '-1 day');
INSERT INTO eiot.counting_rule (name, counted_classes, rounding) VALUES ('bad', '{iot}', 'off');
\set VERBOSITY default

-- Classes from labels.
SELECT category, type, subtype, os_platform, eiot.classify(category, type, subtype, os_platform)
  FROM (VALUES
    ('Network device', NULL, NULL, NULL), ('NetworkDevice', NULL, NULL, NULL), ('IoT', 'Workstation', NULL, 'Windows11'), ('Unknown', 'Printer', '', ''),
    ('', '', 'Smart TV', ''), ('', '', '', 'Windows11'), ('IoT/OT devices', 'PLC', NULL, NULL), ('IoT/OT devices', NULL, NULL, NULL), ('Unknown', '', '', ''), (NULL, NULL, NULL, NULL)
  ) v(category, type, subtype, os_platform);
