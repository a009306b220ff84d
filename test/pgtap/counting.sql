-- Which devices count: reasons and their order, the clock, addresses, labels; the shipped rules and the totals that
-- their pages print; and that the index-only verdict of eiot.counts is the verdict of eiot.count_reason.
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';
SELECT setseed(0.25) AS seeded \gset

SELECT plan(464);

-- ---- a device that counts, and one thing about it changed

CREATE TABLE pg_temp.device (
  what text,
  class eiot.device_class DEFAULT 'iot',
  onboarding_status text DEFAULT 'Can be onboarded',
  last_seen timestamptz DEFAULT '2026-08-01 00:00:00+00',
  as_of timestamptz DEFAULT '2026-08-12 00:00:00+00',
  inactive_after interval DEFAULT '30 days',
  merged_into text,
  excluded boolean DEFAULT false,
  transient boolean DEFAULT false,
  ip inet DEFAULT '10.20.30.41',
  expected eiot.count_reason DEFAULT 'counted'
);

CREATE FUNCTION pg_temp.check_devices() RETURNS SETOF text
  LANGUAGE sql AS $$
  SELECT is(eiot.count_reason(class, onboarding_status, last_seen, as_of, inactive_after, merged_into, excluded, transient, ip), expected, what)
    FROM device
$$;

INSERT INTO device (what) VALUES ('a device that counts');
INSERT INTO device (what, class, expected)
  SELECT 'class ' || c, c, CASE WHEN c = 'iot' THEN 'counted' ELSE 'not_iot' END::eiot.count_reason FROM unnest(enum_range(NULL::eiot.device_class)) c;
INSERT INTO device (what, class, expected) VALUES ('no class', NULL, 'not_iot');
INSERT INTO device (what, onboarding_status, expected)
  SELECT format('onboarding status "%s"', left(s, 40)), s, 'managed'
    FROM unnest(ARRAY['Onboarded', 'onboarded', 'ONBOARDED', 'OnBoarded', ' Onboarded ', 'on boarded', 'On-Boarded', 'on_boarded', 'o n b o a r d e d',
                      'Onboarded' || repeat(' ', 10000), repeat(' ', 10000) || 'Onboarded']) s;
INSERT INTO device (what, onboarding_status, expected)
  SELECT format('onboarding status "%s"', left(s, 40)), s, 'counted'
    FROM unnest(ARRAY['Can be onboarded', 'CanBeOnboarded', 'can be onboarded', 'CANBEONBOARDED', 'Unsupported', 'Insufficient info', 'InsufficientInfo',
                      'Offboarded', 'not onboarded', 'Onboarded?', 'Onboarded2', 'onboard', '', ' ', 'Onboarded' || repeat('x', 10000), NULL]) s;
INSERT INTO device (what, merged_into, expected) VALUES
  ('merged into another', 'f00d', 'merged'), ('merged into none: empty', '', 'counted'), ('merged into none: null', NULL, 'counted');
INSERT INTO device (what, excluded, expected) VALUES ('excluded', true, 'excluded'), ('not known whether excluded', NULL, 'counted');
INSERT INTO device (what, transient, expected) VALUES ('transient', true, 'transient'), ('not known whether transient', NULL, 'counted');

-- ---- the clock: strictly longer ago; a day is 24 hours, a month 30 days

INSERT INTO device (what, last_seen, as_of, inactive_after, expected) VALUES
  ('seen 30 days ago', '2026-07-13 00:00:00+00', '2026-08-12 00:00:00+00', '30 days', 'counted'),
  ('seen 30 days and a microsecond ago', '2026-07-12 23:59:59.999999+00', '2026-08-12 00:00:00+00', '30 days', 'inactive'),
  ('seen 30 days less a microsecond ago', '2026-07-13 00:00:00.000001+00', '2026-08-12 00:00:00+00', '30 days', 'counted'),
  ('a month is 30 days: to the instant', '2026-07-13 00:00:00+00', '2026-08-12 00:00:00+00', '1 mon', 'counted'),
  ('a month is 30 days: a microsecond more', '2026-07-12 23:59:59.999999+00', '2026-08-12 00:00:00+00', '1 mon', 'inactive'),
  ('a month is 30 days, also before March', '2026-01-30 00:00:00+00', '2026-03-01 00:00:00+00', '1 mon', 'counted'),
  ('a month is 30 days, also before March: a microsecond more', '2026-01-29 23:59:59.999999+00', '2026-03-01 00:00:00+00', '1 mon', 'inactive'),
  ('a year is 360 days: to the instant', '2025-08-17 00:00:00+00', '2026-08-12 00:00:00+00', '1 year', 'counted'),
  ('a year is 360 days: a microsecond more', '2025-08-16 23:59:59.999999+00', '2026-08-12 00:00:00+00', '1 year', 'inactive'),
  ('months, days and time add up', '2026-07-11 21:56:55.999995+00', '2026-08-12 01:00:01.000001+00', '1 mon 1 day 03:03:05.000006', 'counted'),
  ('months, days and time add up: a microsecond more', '2026-07-11 21:56:55.999994+00', '2026-08-12 01:00:01.000001+00', '1 mon 1 day 03:03:05.000006', 'inactive'),
  ('parts may be negative if the sum is not', '2026-08-11 00:00:00+00', '2026-08-12 00:00:00+00', '1 mon -29 days', 'counted'),
  ('parts may be negative if the sum is not: a microsecond more', '2026-08-10 23:59:59.999999+00', '2026-08-12 00:00:00+00', '1 mon -29 days', 'inactive'),
  ('cut-off of nothing: seen now', '2026-08-12 00:00:00+00', '2026-08-12 00:00:00+00', '0', 'counted'),
  ('cut-off of nothing: seen a microsecond ago', '2026-08-11 23:59:59.999999+00', '2026-08-12 00:00:00+00', '0', 'inactive'),
  ('seen in the future', '2027-01-01 00:00:00+00', '2026-08-12 00:00:00+00', '30 days', 'counted'),
  ('never seen', NULL, '2026-08-12 00:00:00+00', '30 days', 'counted'),
  ('no cut-off', '1970-01-01 00:00:00+00', '2026-08-12 00:00:00+00', NULL, 'counted'),
  ('no cut-off, seen before all time', '-infinity', '2026-08-12 00:00:00+00', NULL, 'counted'),
  ('seen after all time', 'infinity', '2026-08-12 00:00:00+00', '30 days', 'counted'),
  ('seen before all time', '-infinity', '2026-08-12 00:00:00+00', '30 days', 'inactive'),
  ('as of the end of time', '2026-08-12 00:00:00+00', 'infinity', '30 days', 'inactive'),
  ('as of the end of time, seen then', 'infinity', 'infinity', '30 days', 'counted'),
  ('as of the beginning of time', '2026-08-12 00:00:00+00', '-infinity', '30 days', 'counted'),
  ('as of the beginning of time, seen then', '-infinity', '-infinity', '30 days', 'counted'),
  ('cut-off before the first timestamp', '4714-11-24 00:00:00+00 BC', '2026-08-12 00:00:00+00', '200000 years', 'counted'),
  ('cut-off before the first timestamp, seen before all time', '-infinity', '2026-08-12 00:00:00+00', '200000 years', 'counted'),
  ('as of null, which is needed', '2026-08-01 00:00:00+00', NULL, '30 days', NULL),
  ('as of null, never seen', NULL, NULL, '30 days', 'counted'),
  ('as of null, no cut-off', '2026-08-01 00:00:00+00', NULL, NULL, 'counted');
INSERT INTO device (what, as_of, class, onboarding_status, expected) VALUES
  ('as of null, but not IoT', NULL, 'network', NULL, 'not_iot'), ('as of null, but managed', NULL, 'iot', 'Onboarded', 'managed');

SELECT pg_temp.check_devices();
TRUNCATE device;

-- Clocks go forward on 2026-03-08 and back on 2026-11-01 in New York: a calendar day is 23 and 25 hours long there.
INSERT INTO device (what, last_seen, as_of, inactive_after, expected) VALUES
  ('24 hours over a day of 23', '2026-03-07 11:00:00-05', '2026-03-08 12:00:00-04', '1 day', 'counted'),
  ('24 hours and a microsecond over a day of 23', '2026-03-07 10:59:59.999999-05', '2026-03-08 12:00:00-04', '1 day', 'inactive'),
  ('24 hours over a day of 25', '2026-10-31 13:00:00-04', '2026-11-01 12:00:00-05', '1 day', 'counted'),
  ('24 hours and a microsecond over a day of 25', '2026-10-31 12:59:59.999999-04', '2026-11-01 12:00:00-05', '1 day', 'inactive'),
  ('30 days over the change', '2026-02-13 11:00:00-05', '2026-03-15 12:00:00-04', '30 days', 'counted'),
  ('30 days and a microsecond over the change', '2026-02-13 10:59:59.999999-05', '2026-03-15 12:00:00-04', '30 days', 'inactive'),
  ('a month over the change', '2026-10-14 13:00:00-04', '2026-11-13 12:00:00-05', '1 mon', 'counted'),
  ('a month and a microsecond over the change', '2026-10-14 12:59:59.999999-04', '2026-11-13 12:00:00-05', '1 mon', 'inactive');
SELECT pg_temp.check_devices();
SET LOCAL timezone = 'America/New_York';
SELECT isnt(timestamptz '2026-03-08 12:00' - interval '1 day', timestamptz '2026-03-08 12:00' - interval '24 hours', 'here a day is not always 24 hours');
UPDATE device SET what = what || ', session in New York';
SELECT pg_temp.check_devices();
SELECT is(eiot.active_since('2026-03-08 12:00:00-04', '1 day'), timestamptz '2026-03-07 11:00:00-05', 'active_since: 24 hours');
SET LOCAL timezone = 'Australia/Lord_Howe';
UPDATE device SET what = replace(what, 'New York', 'Lord Howe');
SELECT pg_temp.check_devices();
SET LOCAL timezone = 'UTC';
TRUNCATE device;

SELECT is(eiot.active_since(as_of, inactive_after), expected, format('active_since(%s, %s)', as_of, inactive_after))
  FROM (VALUES
    (timestamptz '2026-08-12 00:00:00+00', interval '30 days', timestamptz '2026-07-13 00:00:00+00'),
    ('2026-08-12 00:00:00+00', '1 mon', '2026-07-13 00:00:00+00'),
    ('2026-08-12 00:00:00+00', '0', '2026-08-12 00:00:00+00'),
    ('2026-08-12 00:00:00+00', '00:00:00.000001', '2026-08-11 23:59:59.999999+00'),
    ('infinity', '30 days', 'infinity'), ('-infinity', '30 days', '-infinity'),
    ('4714-11-24 00:00:00+00 BC', '0', '4714-11-24 00:00:00+00 BC'),
    ('4714-11-24 00:00:00+00 BC', '00:00:00.000001', NULL),
    ('2026-08-12 00:00:00+00', '200000 years', NULL),
    (NULL, '30 days', NULL), ('2026-08-12 00:00:00+00', NULL, NULL)) v(as_of, inactive_after, expected);
SELECT throws_ok(format('SELECT eiot.active_since(''2026-08-12'', %L)', i), '22023', 'devices cannot be inactive after a negative interval', format('active_since: %s', i))
  FROM unnest(ARRAY['-1 days', '-00:00:00.000001', '1 mon -31 days', '-1 mon 29 days']) i;
SELECT throws_ok($$SELECT eiot.count_reason('iot', NULL, '2026-08-01', '2026-08-12', '-1 day', NULL, false, false, NULL)$$, '22023',
                 'devices cannot be inactive after a negative interval', 'count_reason: a negative interval');
SELECT is(eiot.active_since('2026-08-12', '300000 years'), NULL, 'active_since: more than 64 bits of microseconds is for ever');

-- ---- addresses

CREATE TEMP TABLE address (ip inet, device boolean, what text);
INSERT INTO address VALUES
  ('10.0.0.1', true, 'private'), ('10.255.255.254', true, 'private, end'), ('9.255.255.255', false, 'before 10/8'), ('11.0.0.0', false, 'behind 10/8'),
  ('172.16.0.1', true, 'private'), ('172.31.255.254', true, 'private, end'), ('172.15.255.255', false, 'before 172.16/12'), ('172.32.0.0', false, 'behind 172.16/12'),
  ('192.168.0.1', true, 'private'), ('192.168.255.254', true, 'private, end'), ('192.167.255.255', false, 'before 192.168/16'), ('192.169.0.0', false, 'behind 192.168/16'),
  ('100.64.0.0', true, 'shared (carrier NAT)'), ('100.127.255.254', true, 'shared, end'), ('100.63.255.255', false, 'before 100.64/10'), ('100.128.0.0', false, 'behind 100.64/10'),
  ('169.254.1.1', true, 'link-local'), ('169.253.255.255', false, 'before 169.254/16'), ('169.255.0.0', false, 'behind 169.254/16'),
  ('127.0.0.1', true, 'loopback'), ('126.255.255.255', false, 'before 127/8'), ('128.0.0.0', false, 'behind 127/8'),
  ('0.0.0.0', true, 'none assigned'), ('0.0.0.0/0', true, 'none assigned, no mask'), ('0.0.0.1', false, 'behind 0.0.0.0'),
  ('8.8.8.8', false, 'public'), ('20.190.128.1', false, 'public'), ('223.255.255.255', false, 'public, end'),
  ('192.0.2.1', false, 'documentation'), ('198.51.100.1', false, 'documentation'), ('203.0.113.7', false, 'documentation'), ('198.18.0.1', false, 'benchmarking'),
  ('224.0.0.1', false, 'multicast'), ('239.255.255.250', false, 'multicast'), ('240.0.0.1', false, 'reserved'), ('255.255.255.255', false, 'broadcast'),
  ('10.0.0.255/24', false, 'broadcast of its network'), ('10.0.0.255', true, 'no mask: who knows'), ('10.0.0.255/32', true, 'a network of one'),
  ('10.0.0.255/16', true, 'not the last one of its network'), ('10.0.255.255/16', false, 'broadcast of its network'), ('10.255.255.255/8', false, 'broadcast of its network'),
  ('192.168.1.127/25', false, 'broadcast of its network'), ('192.168.1.127/24', true, 'not the last one of its network'), ('192.168.1.0/24', true, 'the first one of its network'),
  ('172.31.255.255/12', false, 'broadcast of its network'), ('10.0.0.3/30', false, 'broadcast of its network'), ('10.0.0.2/30', true, 'not the last one of its network'),
  ('10.0.0.1/31', true, 'a network of two has no broadcast'), ('10.0.0.0/31', true, 'a network of two has no broadcast'),
  ('127.255.255.255/8', false, 'broadcast of its network'), ('8.8.8.8/24', false, 'public, with a mask'),
  ('fc00::1', true, 'unique local'), ('fd12:3456::1', true, 'unique local'), ('fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', true, 'unique local, end'),
  ('fbff::1', false, 'before fc00::/7'), ('fe00::1', false, 'behind fc00::/7'),
  ('fe80::1', true, 'link-local'), ('febf::1', true, 'link-local, end'), ('fe80::1/64', true, 'link-local, with a mask'), ('fe7f::1', false, 'before fe80::/10'), ('fec0::1', false, 'behind fe80::/10'),
  ('fd00::ffff:ffff:ffff:ffff/64', true, 'IPv6 has no broadcast'),
  ('::1', true, 'loopback'), ('::', true, 'unspecified'), ('::/0', true, 'unspecified, no mask'), ('::2', false, 'behind loopback'), ('::10.0.0.1', false, 'IPv4-compatible, obsolete'),
  ('2001:db8::1', false, 'documentation'), ('2a00:1450::1', false, 'public'), ('2001:4860:4860::8888', false, 'public'), ('64:ff9b::a00:1', false, 'translated'),
  ('ff02::1', false, 'multicast'), ('ff02::fb', false, 'multicast'), ('ff0e::1', false, 'multicast'),
  ('::ffff:10.0.0.5', true, 'mapped private'), ('::ffff:192.168.1.1', true, 'mapped private'), ('::ffff:100.64.0.1', true, 'mapped shared'), ('::ffff:0.0.0.0', true, 'mapped none assigned'),
  ('::ffff:8.8.8.8', false, 'mapped public'), ('::ffff:224.0.0.1', false, 'mapped multicast'), ('::ffff:255.255.255.255', false, 'mapped broadcast'),
  ('::ffff:10.0.0.255/120', false, 'mapped broadcast of its network'), ('::ffff:10.0.0.254/120', true, 'mapped, not the last one of its network'),
  ('::ffff:10.0.0.255/128', true, 'mapped, a network of one'), ('::ffff:10.0.0.255/96', true, 'mapped, no IPv4 mask'), ('::ffff:10.0.0.255/64', true, 'mapped, no IPv4 mask'),
  ('::fffe:10.0.0.1', false, 'not quite mapped'), (NULL, true, 'no address');
INSERT INTO device (what, ip, expected)
  SELECT format('address %s: %s', ip, what), ip, CASE WHEN device THEN 'counted' ELSE 'not_a_device' END::eiot.count_reason FROM address;
SELECT pg_temp.check_devices();
TRUNCATE device;

-- ---- of several reasons the first in the order of the enum

INSERT INTO device (what, class, onboarding_status, last_seen, merged_into, excluded, transient, ip, expected)
  SELECT COALESCE(string_agg(r::text, ', ' ORDER BY r), 'no reason'),
         CASE WHEN reasons & 1 = 0 THEN 'iot' ELSE 'network' END::eiot.device_class,
         CASE WHEN reasons & 2 = 0 THEN 'Unsupported' ELSE 'Onboarded' END,
         CASE WHEN reasons & 4 = 0 THEN timestamptz '2026-08-01 00:00:00+00' ELSE '2026-01-01 00:00:00+00' END,
         CASE WHEN reasons & 8 <> 0 THEN 'f00d' END,
         reasons & 16 <> 0, reasons & 32 <> 0,
         CASE WHEN reasons & 64 = 0 THEN inet '10.20.30.41' ELSE '8.8.8.8' END,
         COALESCE(min(r), 'counted')
    FROM generate_series(0, 127) reasons
    LEFT JOIN unnest(enum_range('not_iot'::eiot.count_reason, NULL)) WITH ORDINALITY e(r, n) ON reasons & (1 << (n::int - 1)) <> 0
   GROUP BY reasons;
SELECT is(count(*), 128::bigint, 'every set of the seven reasons') FROM device;
SELECT is(string_agg(format('%s: %s', what, got), E'\n') FILTER (WHERE got IS DISTINCT FROM expected), NULL, format('first reason of those that begin with %s', expected))
  FROM (SELECT *, eiot.count_reason(class, onboarding_status, last_seen, as_of, inactive_after, merged_into, excluded, transient, ip) AS got FROM device) d
 GROUP BY expected ORDER BY expected;
SELECT results_eq('SELECT unnest(enum_range(NULL::eiot.count_reason))::text',
                  $$VALUES ('counted'), ('not_iot'), ('managed'), ('inactive'), ('merged'), ('excluded'), ('transient'), ('not_a_device')$$, 'the order');
TRUNCATE device;

-- ---- the verdict from the index is that of count_reason, under every rule

INSERT INTO eiot.counting_rule (name, counted_classes, inactive_after, count_excluded, count_transient) VALUES
  ('test, everything', enum_range(NULL::eiot.device_class), NULL, true, true),
  ('test, excluded', '{iot}', '30 days', true, false),
  ('test, transient', '{iot,ot}', '30 days', false, true),
  ('test, forever', '{iot}', NULL, false, false),
  ('test, an hour', '{iot,network,medical}', '01:00:00', true, true),
  ('test, at once', '{unknown,endpoint,bms}', '0', false, false),
  ('test, nothing', '{}', '30 days', true, true),
  ('test, null among classes', '{NULL,iot}', '1 mon', false, false),
  ('test, twice', '{iot,iot,iot}', '30 days', false, false);
SELECT is(count(*), 17::bigint, 'shipped rules and others') FROM eiot.counting_rule;

CREATE TEMP TABLE random_device AS
  SELECT i,
         (enum_range(NULL::eiot.device_class))[CASE WHEN random() < 0.5 THEN 3 ELSE 1 + floor(random() * 7)::int END] AS class,
         (ARRAY['Onboarded', 'onboarded ', 'Can be onboarded', 'CanBeOnboarded', 'Unsupported', '', NULL, NULL])[1 + floor(random() * 8)::int] AS onboarding_status,
         (ARRAY[timestamptz '2026-08-12 00:00:00+00' - random() * interval '60 days', timestamptz '2026-08-12 00:00:00+00' - random() * interval '2 hours',
                '2026-07-13 00:00:00+00', '2026-07-12 23:59:59.999999+00', '2026-08-12 00:00:00+00', '2026-08-11 23:00:00+00', '2026-08-11 22:59:59.999999+00',
                'infinity', '-infinity', NULL])[1 + floor(random() * 10)::int] AS last_seen,
         (ARRAY[NULL, NULL, NULL, '', 'f00d'])[1 + floor(random() * 5)::int] AS merged_into,
         (ARRAY[false, false, NULL, true])[1 + floor(random() * 4)::int] AS excluded,
         (ARRAY[false, false, NULL, true])[1 + floor(random() * 4)::int] AS transient,
         a.ip, a.device AS may_be_device
    FROM generate_series(1, 5000) i
    JOIN (SELECT *, row_number() OVER () AS n, count(*) OVER () AS size FROM address) a ON a.n = 1 + i % a.size;

CREATE TEMP TABLE verdict AS
  SELECT r.name, d.*, asked.as_of,
         eiot.count_reason_under(d.class, d.onboarding_status, d.last_seen, asked.as_of, r, d.merged_into, d.excluded, d.transient, d.ip) AS reason,
         eiot.counts(eiot.count_key(d.class, d.onboarding_status, d.merged_into, d.excluded, d.transient, d.ip), d.last_seen, r.counted_keys,
                     eiot.active_since(asked.as_of, r.inactive_after)) AS counts,
         COALESCE(d.class = ANY (r.counted_classes), false)
         AND lower(COALESCE(trim(d.onboarding_status), '')) <> 'onboarded'
         AND COALESCE(extract(epoch FROM asked.as_of) - extract(epoch FROM d.last_seen) <= extract(epoch FROM r.inactive_after), true)
         AND COALESCE(d.merged_into, '') = ''
         AND (r.count_excluded OR d.excluded IS NOT TRUE)
         AND (r.count_transient OR d.transient IS NOT TRUE)
         AND d.may_be_device AS by_hand
    FROM random_device d
   CROSS JOIN eiot.counting_rule r
   CROSS JOIN (VALUES (timestamptz '2026-08-12 00:00:00+00')) asked(as_of);
SELECT is(string_agg(v::text, E'\n'), NULL, format('counts = count_reason under "%s"', name))
  FROM (SELECT name, CASE WHEN counts IS DISTINCT FROM (reason = 'counted') THEN v END AS v FROM verdict v) w GROUP BY name ORDER BY name;
SELECT is(string_agg(v::text, E'\n'), NULL, format('and as plain SQL has it, under "%s"', name))
  FROM (SELECT name, CASE WHEN counts IS DISTINCT FROM by_hand THEN v END AS v FROM verdict v) w GROUP BY name ORDER BY name;
SELECT set_eq('SELECT DISTINCT reason FROM verdict', 'SELECT unnest(enum_range(NULL::eiot.count_reason))', 'the random devices have every reason');
SELECT cmp_ok(count(*), '>', 200::bigint, 'many of them count') FROM verdict WHERE counts AND name = '2026-07';
SELECT is(count(*), 0::bigint, 'count_reason is count_reason_under a rule of class iot alone')
  FROM verdict v JOIN eiot.counting_rule r USING (name)
 WHERE r.counted_classes = '{iot}' AND NOT r.count_excluded AND NOT r.count_transient
   AND reason IS DISTINCT FROM eiot.count_reason(v.class, v.onboarding_status, v.last_seen, v.as_of, r.inactive_after, v.merged_into, v.excluded, v.transient, v.ip);
SELECT is(string_agg(format('"%s": count_reason_under %s, counts %s', name, reason, counts), E'\n') FILTER (WHERE counts IS DISTINCT FROM (reason = 'counted')), NULL,
          'the two agree on a device without a class, under every rule')
  FROM (SELECT name, eiot.counts(eiot.count_key(NULL, NULL, NULL, NULL, NULL, NULL), NULL, counted_keys, NULL) AS counts,
               eiot.count_reason_under(NULL, NULL, NULL, now(), r, NULL, NULL, NULL, NULL) AS reason
          FROM eiot.counting_rule r) v;

SELECT is(count(*), 0::bigint, 'no key is beyond 0 to 63') FROM random_device WHERE eiot.count_key(class, onboarding_status, merged_into, excluded, transient, ip) NOT BETWEEN 0 AND 63;
SELECT is(eiot.counts(NULL, now(), -1, now()), NULL, 'counts: null key');
SELECT is(eiot.counts(2::smallint, now(), NULL, now()), NULL, 'counts: null rule');
SELECT is(eiot.counts(63::smallint, NULL, -1, NULL), true, 'counts: the last key');
SELECT throws_ok(format('SELECT eiot.counts((%s)::smallint, NULL, -1, NULL)', k), '22003', format('count key out of range: %s', k), format('counts: key %s', k))
  FROM unnest(ARRAY[-32768, -1, 64, 32767]) k;
SELECT is(num_nulls(eiot.counted_keys(NULL, false, false), eiot.counted_keys('{iot}', NULL, false), eiot.counted_keys('{iot}', false, NULL)), 3, 'counted_keys of null is null');
SELECT is(eiot.counted_keys('{}', true, true), 0::bigint, 'counted_keys of no class');

-- ---- both counts in one go

CREATE TABLE public.counted_device AS
  SELECT n % 7 AS grp, eiot.count_key(class, onboarding_status, merged_into, excluded, transient, ip) AS count_key, last_seen FROM random_device d, generate_series(1, 4) n;
INSERT INTO public.counted_device VALUES (8, NULL, now()), (9, 2, NULL);
ANALYZE public.counted_device;
CREATE FUNCTION pg_temp.counted(query text, workers int) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('max_parallel_workers_per_gather', workers::text, true), set_config('parallel_setup_cost', '0', true),
          set_config('parallel_tuple_cost', '0', true), set_config('min_parallel_table_scan_size', '0', true);
  RETURN QUERY EXECUTE query;
  RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;
END
$$;
SELECT bag_eq(format($q$SELECT pg_temp.counted($$SELECT (r.name, c.grp, eiot.count_devices(c.count_key, c.last_seen, r.counted_keys, s.since))::text
                       FROM eiot.counting_rule r CROSS JOIN LATERAL eiot.active_since('2026-08-12', r.inactive_after) s(since) CROSS JOIN public.counted_device c
                      GROUP BY r.name, c.grp$$, %s)$q$, workers),
              $q$SELECT (r.name, c.grp, ARRAY[count(*), count(*) FILTER (WHERE eiot.counts(c.count_key, c.last_seen, r.counted_keys, s.since))])::text
                   FROM eiot.counting_rule r CROSS JOIN LATERAL eiot.active_since('2026-08-12', r.inactive_after) s(since) CROSS JOIN public.counted_device c
                  GROUP BY r.name, c.grp$q$, format('count_devices with %s workers is count(*) and count(*) of what counts', workers))
  FROM (VALUES (0), (2)) v(workers);
SELECT matches((SELECT string_agg(l, E'\n') FROM pg_temp.counted('EXPLAIN (COSTS OFF) SELECT eiot.count_devices(count_key, last_seen, 4, now()) FROM public.counted_device', 2) l),
               'Finalize Aggregate.*Partial Aggregate', 'in parallel');
SELECT is((SELECT eiot.count_devices(count_key, last_seen, 4, now()) FROM public.counted_device WHERE false), '{0,0}', 'count_devices of nothing');
SELECT is((SELECT eiot.count_devices(count_key, last_seen, NULL, now()) FROM public.counted_device WHERE grp = 9), '{1,0}', 'count_devices without a rule');
SELECT is((SELECT eiot.count_devices(count_key, last_seen, 4, now()) FROM public.counted_device WHERE grp IN (8, 9)), '{2,1}', 'count_devices of a null key and of one never seen');
SELECT throws_ok('SELECT eiot.count_devices(64::smallint, NULL, -1, NULL)', '22003', 'count key out of range: 64', 'count_devices of a key that is none');
SELECT is(eiot.count_devices_final(eiot.count_devices_accum(2147483646 * 4294967296 + 5, 2::smallint, NULL, 4, NULL)), '{2147483647,6}', 'as many devices as there can be');
SELECT throws_ok('SELECT eiot.count_devices_accum(2147483647 * 4294967296, 2::smallint, NULL, 4, NULL)', '22003', 'more than 2147483647 devices in one group', 'one more');
SELECT throws_ok('SELECT eiot.count_devices_combine(2147483647 * 4294967296, 4294967296)', '22003', 'more than 2147483647 devices in one group', 'or together');

-- ---- labels

CREATE TEMP TABLE label (kind text, label text, class eiot.device_class);
INSERT INTO label VALUES
  -- the portal's categories and tabs, the categories of DeviceInfo
  ('category', 'Computers and Mobile', 'endpoint'), ('category', 'Computers & mobile', 'endpoint'), ('category', 'Endpoint', 'endpoint'), ('category', 'Endpoint devices', 'endpoint'),
  ('category', 'Network Device', 'network'), ('category', 'NetworkDevice', 'network'), ('category', 'Network devices', 'network'),
  ('category', 'IoT', 'iot'), ('category', 'IoT device', 'iot'), ('category', 'IoT devices', 'iot'), ('category', 'IoT/OT devices', 'iot'), ('category', 'IoT/OT', 'iot'),
  ('category', 'OT', 'ot'), ('category', 'OT device', 'ot'), ('category', 'OT devices', 'ot'), ('category', 'BMS', 'bms'), ('category', 'Medical', 'medical'),
  ('category', 'Unknown', 'unknown'), ('category', 'Uncategorized', 'unknown'), ('category', 'Uncategorized devices', 'unknown'), ('category', 'All devices', 'unknown'),
  -- the classes that Defender for IoT supports
  ('category', 'Manufacturing', 'ot'), ('category', 'Building', 'bms'), ('category', 'Health care', 'medical'), ('category', 'Transportation / Utilities', 'ot'),
  ('category', 'Energy and resources', 'ot'), ('category', 'Enterprise', 'iot'), ('category', 'Retail', 'iot'),
  ('type', 'network device', 'network'), ('type', 'NetworkDevice', 'network'), ('type', 'workstation', 'endpoint'), ('type', 'Server', 'endpoint'), ('type', 'mobile', 'endpoint'),
  ('type', 'gaming console', 'iot'), ('type', 'printer', 'iot'), ('type', 'Camera', 'iot'), ('type', 'Router', 'network'), ('type', 'PLC', 'ot'), ('type', 'Audio and Video', 'iot'),
  ('type', 'Communication', 'iot'), ('type', 'Industrial', 'ot'), ('type', 'Conferencing system', 'iot'), ('type', 'Smart TV', 'iot'), ('type', 'VoIP phone', 'iot'), ('type', 'VoIP', 'iot'),
  ('type', 'Video conference', 'iot'), ('type', 'Video conferencing', 'iot'), ('type', 'Speaker', 'iot'), ('type', 'Scanner', 'iot'), ('type', 'Switch', 'network'),
  ('type', 'Firewall', 'network'), ('type', 'Access point', 'network'), ('type', 'HMI', 'ot'), ('type', 'Laptop', 'endpoint'), ('type', 'Desktop', 'endpoint'),
  ('type', 'Miscellaneous', 'unknown'), ('type', 'Unknown', 'unknown'), ('type', 'Toaster', 'unknown'),
  ('subtype', 'tablet', 'endpoint'), ('subtype', 'smartphone', 'endpoint'), ('subtype', 'Video conference', 'iot'), ('subtype', 'Video conferencing', 'iot'), ('subtype', 'Smart TV', 'iot'),
  ('subtype', 'VoIP phone', 'iot'), ('subtype', 'Router', 'network'), ('subtype', 'Speaker', 'iot'), ('subtype', 'Printer', 'iot'), ('subtype', 'Camera', 'iot'), ('subtype', 'IP camera', 'iot'),
  ('subtype', 'Switch', 'network'), ('subtype', 'Firewall', 'network'), ('subtype', 'Access point', 'network'), ('subtype', 'PLC', 'ot'),
  ('subtype', 'Managed Device', 'unknown'), ('subtype', 'Unknown', 'unknown'),
  ('os_platform', 'Windows10', 'endpoint'), ('os_platform', 'Windows 11', 'endpoint'), ('os_platform', 'WindowsServer2022', 'endpoint'), ('os_platform', 'macOS', 'endpoint'),
  ('os_platform', 'Linux', 'endpoint'), ('os_platform', 'iOS', 'endpoint'), ('os_platform', 'iOS 17', 'endpoint'), ('os_platform', 'iPadOS', 'endpoint'), ('os_platform', 'Android', 'endpoint'),
  ('os_platform', 'Android 14', 'endpoint'), ('os_platform', 'ChromeOS', 'endpoint'),
  ('os_platform', 'IOS XE', 'unknown'), ('os_platform', 'VxWorks', 'unknown'), ('os_platform', 'Linuxoid', 'unknown'), ('os_platform', 'Other', 'unknown');

CREATE FUNCTION pg_temp.classify(kind text, label text, others text) RETURNS eiot.device_class
  LANGUAGE sql IMMUTABLE
  RETURN eiot.classify(CASE WHEN kind = 'category' THEN label ELSE others END, CASE WHEN kind = 'type' THEN label ELSE others END,
                       CASE WHEN kind = 'subtype' THEN label ELSE others END, CASE WHEN kind = 'os_platform' THEN label ELSE others END);

SELECT is(string_agg(DISTINCT pg_temp.classify(kind, spelling, others)::text, ', '), class::text, format('%s "%s" in every spelling', kind, label))
  FROM label
 CROSS JOIN LATERAL (VALUES (label), (upper(label)), (lower(label)), (initcap(label)), (replace(label, ' ', '')), (replace(label, ' ', '_')), (replace(label, ' ', '-')),
                            (replace(label, ' ', '  ')), ('  ' || label || '  '), (E'\t' || label), (label || repeat(' ', 100))) s(spelling)
 CROSS JOIN (VALUES (NULL), (''), ('Unknown')) o(others)
 GROUP BY kind, label, class ORDER BY kind, label;

SELECT is(eiot.classify(category, type, subtype, os_platform), class::eiot.device_class, format('classify: %s', what))
  FROM (VALUES
    ('all null', NULL, NULL, NULL, NULL, 'unknown'), ('all empty', '', '', '', '', 'unknown'), ('all unknown', 'Unknown', 'Unknown', 'Unknown', 'Unknown', 'unknown'),
    ('the category decides', 'IoT', 'Workstation', 'Smartphone', 'Windows11', 'iot'),
    ('the category decides against a printer', 'Endpoint', 'Printer', 'Printer', NULL, 'endpoint'),
    ('then the subtype', 'Unknown', 'Printer', 'Tablet', NULL, 'endpoint'),
    ('then the subtype, against type and system', NULL, 'Workstation', 'VoIP phone', 'Linux', 'iot'),
    ('then the type', 'Unknown', 'Printer', 'Managed Device', 'Linux', 'iot'),
    ('then the system', 'Unknown', 'Miscellaneous', 'Managed Device', 'Linux', 'endpoint'),
    ('a router of a published query', NULL, 'NetworkDevice', 'Router', NULL, 'network'),
    ('the shared tab: a PLC', 'IoT/OT devices', 'PLC', NULL, NULL, 'ot'), ('the shared tab: a printer', 'IoT/OT devices', 'Printer', NULL, NULL, 'iot'),
    ('the shared tab: nothing narrower, whatever the system', 'IoT/OT devices', 'Unknown', '', 'Linux', 'iot'),
    ('a category is no type', 'Printer', NULL, NULL, NULL, 'unknown'), ('a type is no category', NULL, 'IoT', NULL, NULL, 'unknown'),
    ('not quite IoT', 'IoTs', NULL, NULL, NULL, 'unknown'), ('a letter that only looks so', U&'\0406oT', NULL, NULL, NULL, 'unknown'),
    ('beyond ASCII', 'IoTé', 'Imprimante', U&'\+01F5A8', NULL, 'unknown'), ('half of a label', 'Io', 'Print', 'Voi', 'Win', 'unknown'),
    ('very long labels', repeat('IoT', 100000), repeat('Printer ', 100000), repeat('VoIP phone', 100000), repeat('Linux', 100000), 'unknown'),
    ('very many spaces', 'I' || repeat(' ', 300000) || 'oT', NULL, NULL, NULL, 'iot'),
    ('as long as the longest that fits', repeat('x', 47), NULL, NULL, NULL, 'unknown'), ('one longer', repeat('x', 48), NULL, NULL, NULL, 'unknown'), ('two longer', repeat('x', 49), NULL, NULL, NULL, 'unknown'),
    ('a long one that begins well', 'Endpoint' || repeat('x', 39), NULL, NULL, 'Windows' || repeat('x', 41), 'unknown')
  ) v(what, category, type, subtype, os_platform, class);
SELECT is(eiot.classify(NULL, NULL, NULL, 'Windows' || repeat('1', 40)), 'endpoint'::eiot.device_class, 'classify: a system of 47 characters');

-- ---- the rule in force

SELECT unnest(ARRAY[
         is((eiot.counting_rule_at(boundary)).name, since, format('rule in force from %s', boundary)),
         is((eiot.counting_rule_at(boundary - interval '1 microsecond')).name, until, format('rule in force until %s', boundary))])
  FROM (VALUES
    (timestamptz '2022-07-06 00:00:00+00', NULL, '2022-07'), ('2023-05-17 00:00:00+00', '2022-07', '2023-05'), ('2023-09-13 00:00:00+00', '2023-05', '2023-09'),
    ('2023-11-01 00:00:00+00', '2023-09', '2023-11'), ('2024-06-25 00:00:00+00', '2023-11', '2024-06'), ('2026-07-02 00:00:00+00', '2024-06', '2026-07')) v(boundary, until, since);
SET LOCAL timezone = 'Pacific/Kiritimati';
SELECT is((eiot.counting_rule_at('2026-07-01 23:59:59.999999+00')).name, '2024-06', 'days are UTC, whatever the session: until');
SELECT is((eiot.counting_rule_at('2026-07-02 00:00:00+00')).name, '2026-07', 'days are UTC, whatever the session: from');
SET LOCAL timezone = 'UTC';
SELECT is((eiot.counting_rule_at('infinity')).name, '2026-07', 'the last rule has no end');
SELECT is((eiot.counting_rule_at('-infinity')).name, NULL, 'before all rules');
SELECT ok(eiot.counting_rule_at(NULL) IS NULL, 'as of null');
SELECT is((eiot.counting_rule_at(now())).counted_classes, '{iot}'::eiot.device_class[], 'now class iot alone counts');
SELECT is((eiot.counting_rule_at(now())).inactive_after, interval '30 days', 'and the cut-off is 30 days');
SELECT results_eq(
  $$SELECT name, valid::text, counted_classes::text, inactive_after, count_excluded, count_transient, rounding, rounding_step, trial_devices, trial_days
      FROM eiot.counting_rule WHERE shipped ORDER BY lower(valid) NULLS FIRST, name$$,
  $$VALUES
    ('2022 draft', 'empty', '{network,iot}', interval '30 days', false, false, 'up', 100, 1000::bigint, 30),
    ('2022 draft, managed subtracted', 'empty', '{network,iot}', '30 days', false, false, 'up', 100, 1000, 30),
    ('2022-07', '[2022-07-06,2023-05-17)', '{network,iot}', '30 days', false, false, 'up', 100, 1000, 30),
    ('2023-05', '[2023-05-17,2023-09-13)', '{network,iot}', '30 days', false, false, 'up', 100, 9223372036854775807, 30),
    ('2023-09', '[2023-09-13,2023-11-01)', '{network,iot}', '30 days', false, false, 'none', 1, 100, 90),
    ('2023-11', '[2023-11-01,2024-06-25)', '{iot}', '30 days', false, false, 'down', 100, 100, 90),
    ('2024-06', '[2024-06-25,2026-07-02)', '{iot}', '30 days', false, false, 'down', 100, 100, NULL),
    ('2026-07', '[2026-07-02,)', '{iot}', '30 days', false, false, 'down', 100, 100, NULL)$$,
  'the shipped rules');
SELECT is(count(*), 0::bigint, 'each with its source') FROM eiot.counting_rule WHERE shipped AND COALESCE(source, '') = '';

-- ---- what the pages print

CREATE SCHEMA counting;
SELECT eiot.create_inventory('counting.device') AS inventory \gset
CREATE TABLE counting.page (tenant_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), revision text, rule text, network integer, iot integer, managed integer, e5 integer,
                            counted bigint, printed bigint, gap bigint);
INSERT INTO counting.page (revision, rule, network, iot, managed, e5, counted, printed, gap) VALUES
  ('A', '2022-07', 473, 1206, 0, 0, 1679, 1700, 1679),
  ('B', '2022 draft, managed subtracted', 473, 1206, 500, 0, 1179, 1200, 1179),
  ('B''', '2022 draft', 473, 1206, 0, 0, 1679, 1700, 1679),
  ('C', '2023-05', 473, 1206, 0, 0, 1679, 1700, 1679),
  ('D', '2023-09', 473, 1206, 0, 320, 1679, 1679, 79),
  ('E', '2023-11', 473, 1204, 0, 240, 1204, 1200, 4),
  ('E''', '2024-06', 473, 1204, 0, 240, 1204, 1200, 4),
  ('F', '2026-07', 473, 1204, 0, 240, 1204, 1200, 4),
  ('F, in force', NULL, 473, 1204, 0, 240, 1204, 1200, 4);
INSERT INTO eiot.tenant (tenant_id, name, counting_rule) SELECT tenant_id, 'revision ' || revision, rule FROM counting.page;
INSERT INTO counting.device (tenant_id, device_id, category, onboarding_status, last_seen)
  SELECT tenant_id, 'd' || i, CASE WHEN i <= network THEN 'Network device' WHEN i <= network + iot THEN 'IoT' ELSE 'Endpoint' END,
         -- of both groups, and all computers
         CASE WHEN i <= managed OR i > network + iot THEN 'Onboarded' ELSE 'Unsupported' END, '2026-08-01 00:00:00+00'
    FROM counting.page, generate_series(1, network + iot + 100) i;
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
  SELECT tenant_id, '06ebc4ee-1bb5-47dd-8120-11324bc54e06', e5, '[2020-01-01,)' FROM counting.page WHERE e5 > 0;
CREATE TABLE counting.result AS
  SELECT p.*, c.devices, c.counted AS got_counted, c.gap AS got_gap, c.capacity,
         CASE WHEN r.rounding = 'none' THEN c.counted ELSE eiot.round_devices(c.counted, r.rounding_step, r.rounding) END AS got_printed
    FROM counting.page p
    JOIN eiot.coverage_at(:'inventory', '2026-08-12 00:00:00+00') c USING (tenant_id)
   CROSS JOIN LATERAL eiot.counting_rule_of(p.tenant_id, '2026-08-12 00:00:00+00') r;
SELECT unnest(ARRAY[
         is(got_counted, counted, format('revision %s counts %s', revision, counted)),
         is(got_printed, printed, format('revision %s prints %s', revision, printed)),
         is(got_gap, gap, format('revision %s: the gap is %s, of the exact number', revision, gap)),
         is(devices, network::bigint + iot + 100, format('revision %s: all devices are listed', revision)),
         is(capacity, 5::bigint * e5, format('revision %s: five devices a license', revision))])
  FROM counting.result ORDER BY revision;
SELECT results_eq(
  format('SELECT e.reason::text, e.devices FROM counting.page p, eiot.explain_count(%L, p.tenant_id, ''2026-08-12'') e WHERE revision = ''B'' ORDER BY e.reason', :'inventory'),
  $$VALUES ('counted', 1179::bigint), ('not_iot', 100), ('managed', 500)$$, 'explain_count tells where the others went');
SELECT is(sum(e.devices), 1777::numeric, 'and adds up to all of them') FROM counting.page p, eiot.explain_count(:'inventory', p.tenant_id, '2026-08-12') e WHERE revision = 'F';
-- Rounding before the subtraction would give neither of the gaps that were published.
SELECT is((SELECT count(*) FROM counting.result WHERE GREATEST(got_printed - capacity, 0) = gap AND revision IN ('E', 'E''', 'F')), 0::bigint, 'the rounded number has another gap');

-- An inventory's own column is what count_key says, and its view what count_reason says.
INSERT INTO eiot.tenant (tenant_id, name, counting_rule)
  SELECT md5(name)::uuid, 'random under ' || name, name FROM eiot.counting_rule;
INSERT INTO counting.device (tenant_id, device_id, class_override, onboarding_status, last_seen, merged_into, excluded, transient, ip)
  SELECT md5(r.name)::uuid, 'r' || d.i, d.class, d.onboarding_status, d.last_seen, d.merged_into, d.excluded, d.transient, d.ip
    FROM eiot.counting_rule r, random_device d WHERE d.i <= 1000;
SELECT is(count(*), 0::bigint, 'count_key is generated')
  FROM counting.device d WHERE count_key <> eiot.count_key(class, onboarding_status, merged_into, excluded, transient, ip);
SELECT results_eq(
  format($$SELECT counting_rule, counted FROM eiot.tenant t JOIN eiot.coverage_at(%L, '2026-08-12 00:00:00+00') c USING (tenant_id)
            WHERE t.name LIKE 'random under %%' ORDER BY 1$$, :'inventory'),
  $$SELECT name, count(*) FILTER (WHERE reason = 'counted') FROM verdict WHERE i <= 1000 GROUP BY name ORDER BY 1$$,
  'coverage_at counts what count_reason_under counts, under every rule');
SELECT is(count(*), 0::bigint, 'explain_count says counted as often as coverage_at')
  FROM eiot.tenant t
  JOIN eiot.coverage_at(:'inventory', '2026-08-12 00:00:00+00') c USING (tenant_id)
 CROSS JOIN LATERAL (SELECT COALESCE(sum(e.devices) FILTER (WHERE e.reason = 'counted'), 0) AS counted, COALESCE(sum(e.devices), 0) AS devices
                       FROM eiot.explain_count(:'inventory', t.tenant_id, '2026-08-12 00:00:00+00') e) e
 WHERE e.counted <> c.counted OR e.devices <> c.devices;

SELECT * FROM finish();
ROLLBACK;
