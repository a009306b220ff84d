-- Counted devices against capacity: the type, its functions, the aggregates.

CREATE FUNCTION eiot.unlimited() RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN 9223372036854775807::bigint;
COMMENT ON FUNCTION eiot.unlimited() IS
  'The capacity that nothing exceeds: the largest bigint, shown as "unlimited"';

CREATE TYPE eiot.coverage;

CREATE FUNCTION eiot.coverage_in(cstring) RETURNS eiot.coverage
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_in';
COMMENT ON FUNCTION eiot.coverage_in(cstring) IS
  'Text input of eiot.coverage: "devices/capacity" or "devices/unlimited"; 22P02 for other text, 22003 beyond bigint';

CREATE FUNCTION eiot.coverage_out(eiot.coverage) RETURNS cstring
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_out';
COMMENT ON FUNCTION eiot.coverage_out(eiot.coverage) IS 'Text output of eiot.coverage: "1204/1200", "1204/unlimited"';

CREATE FUNCTION eiot.coverage_recv(internal) RETURNS eiot.coverage
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_recv';
COMMENT ON FUNCTION eiot.coverage_recv(internal) IS 'Binary input of eiot.coverage: two 64-bit integers; 22P03 for values it cannot hold';

CREATE FUNCTION eiot.coverage_send(eiot.coverage) RETURNS bytea
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_send';
COMMENT ON FUNCTION eiot.coverage_send(eiot.coverage) IS 'Binary output of eiot.coverage: devices and capacity as 64-bit integers in network order';

CREATE TYPE eiot.coverage (
  INPUT = eiot.coverage_in,
  OUTPUT = eiot.coverage_out,
  RECEIVE = eiot.coverage_recv,
  SEND = eiot.coverage_send,
  INTERNALLENGTH = 16,
  ALIGNMENT = double,
  STORAGE = plain
);
COMMENT ON TYPE eiot.coverage IS
  'Counted devices set against the capacity of the licenses, as in "1204/1200"; capacity "unlimited" is never exceeded, "none" says that no row has named one and equals 0';

CREATE FUNCTION eiot.coverage(devices bigint, capacity bigint) RETURNS eiot.coverage
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage';
COMMENT ON FUNCTION eiot.coverage(bigint, bigint) IS
  'A coverage value of so many counted devices and so much capacity, both in devices; null of null; 22003 for negative numbers';

CREATE FUNCTION eiot.devices(coverage eiot.coverage) RETURNS bigint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_devices';
COMMENT ON FUNCTION eiot.devices(eiot.coverage) IS 'Counted devices of a coverage value; null of null';

CREATE FUNCTION eiot.capacity(coverage eiot.coverage) RETURNS bigint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_capacity';
COMMENT ON FUNCTION eiot.capacity(eiot.coverage) IS
  'Capacity of a coverage value in devices, eiot.unlimited() where unlimited, 0 where none was named; null of null; 22003 where a sum is beyond bigint';

CREATE FUNCTION eiot.gap(coverage eiot.coverage) RETURNS bigint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_gap';
COMMENT ON FUNCTION eiot.gap(eiot.coverage) IS
  'Standalone licenses missing: counted devices less capacity, never below 0, 0 where unlimited; null of null';

CREATE FUNCTION eiot.surplus(coverage eiot.coverage) RETURNS bigint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_surplus';
COMMENT ON FUNCTION eiot.surplus(eiot.coverage) IS
  'Devices that could still be covered: capacity less counted devices, never below 0, eiot.unlimited() where unlimited; null of null';

CREATE FUNCTION eiot.utilization(coverage eiot.coverage) RETURNS numeric
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 5 AS 'MODULE_PATHNAME', 'eiot_utilization';
COMMENT ON FUNCTION eiot.utilization(eiot.coverage) IS
  'Counted devices divided by capacity, 1 is full; null where the capacity is 0 or unlimited, and of null';

CREATE FUNCTION eiot.coverage_eq(eiot.coverage, eiot.coverage) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_eq';
COMMENT ON FUNCTION eiot.coverage_eq(eiot.coverage, eiot.coverage) IS 'Implementation of operator = for eiot.coverage';

CREATE FUNCTION eiot.coverage_ne(eiot.coverage, eiot.coverage) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_ne';
COMMENT ON FUNCTION eiot.coverage_ne(eiot.coverage, eiot.coverage) IS 'Implementation of operator <> for eiot.coverage';

CREATE FUNCTION eiot.coverage_hash(eiot.coverage) RETURNS integer
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_hash';
COMMENT ON FUNCTION eiot.coverage_hash(eiot.coverage) IS 'Hash support of eiot.coverage';

CREATE FUNCTION eiot.coverage_hash_extended(eiot.coverage, bigint) RETURNS bigint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_hash_extended';
COMMENT ON FUNCTION eiot.coverage_hash_extended(eiot.coverage, bigint) IS 'Seeded hash support of eiot.coverage';

CREATE FUNCTION eiot.coverage_add(eiot.coverage, eiot.coverage) RETURNS eiot.coverage
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_add';
COMMENT ON FUNCTION eiot.coverage_add(eiot.coverage, eiot.coverage) IS
  'Implementation of operator + for eiot.coverage: devices and capacities add up, unlimited stays unlimited; 22003 beyond bigint';

CREATE OPERATOR eiot.= (
  LEFTARG = eiot.coverage, RIGHTARG = eiot.coverage, FUNCTION = eiot.coverage_eq,
  COMMUTATOR = OPERATOR(eiot.=), NEGATOR = OPERATOR(eiot.<>),
  RESTRICT = eqsel, JOIN = eqjoinsel, HASHES
);
COMMENT ON OPERATOR eiot.= (eiot.coverage, eiot.coverage) IS 'Same devices and same capacity';

CREATE OPERATOR eiot.<> (
  LEFTARG = eiot.coverage, RIGHTARG = eiot.coverage, FUNCTION = eiot.coverage_ne,
  COMMUTATOR = OPERATOR(eiot.<>), NEGATOR = OPERATOR(eiot.=),
  RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR eiot.<> (eiot.coverage, eiot.coverage) IS 'Other devices or other capacity';

CREATE OPERATOR eiot.+ (
  LEFTARG = eiot.coverage, RIGHTARG = eiot.coverage, FUNCTION = eiot.coverage_add,
  COMMUTATOR = OPERATOR(eiot.+)
);
COMMENT ON OPERATOR eiot.+ (eiot.coverage, eiot.coverage) IS 'Both pools as one';

CREATE OPERATOR FAMILY eiot.coverage_ops USING hash;
COMMENT ON OPERATOR FAMILY eiot.coverage_ops USING hash IS 'Hashing of eiot.coverage';

CREATE OPERATOR CLASS eiot.coverage_ops DEFAULT FOR TYPE eiot.coverage USING hash FAMILY eiot.coverage_ops AS
  OPERATOR 1 eiot.=,
  FUNCTION 1 eiot.coverage_hash(eiot.coverage),
  FUNCTION 2 eiot.coverage_hash_extended(eiot.coverage, bigint);
COMMENT ON OPERATOR CLASS eiot.coverage_ops USING hash IS 'Hashing of eiot.coverage';

-- Support of the aggregates.  PUBLIC keeps EXECUTE: distributed plans check the user's right on each.

CREATE FUNCTION eiot.coverage_accum(eiot.coverage, counted boolean, capacity bigint) RETURNS eiot.coverage
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_accum';
COMMENT ON FUNCTION eiot.coverage_accum(eiot.coverage, boolean, bigint) IS
  'Aggregate support: one more device of a group. Null counted is false, null capacity is 0; 22023 where the capacity differs from the group''s';

CREATE FUNCTION eiot.coverage_combine(eiot.coverage, eiot.coverage) RETURNS eiot.coverage
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_combine';
COMMENT ON FUNCTION eiot.coverage_combine(eiot.coverage, eiot.coverage) IS
  'Aggregate support: parts of one group. Devices add up; 22023 where the capacities differ';

CREATE FUNCTION eiot.coverage_pool(eiot.coverage, eiot.coverage) RETURNS eiot.coverage
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_pool';
COMMENT ON FUNCTION eiot.coverage_pool(eiot.coverage, eiot.coverage) IS
  'Aggregate support: different groups. Devices and capacities add up; 22003 where devices go beyond bigint';

CREATE FUNCTION eiot.coverage_final(eiot.coverage) RETURNS eiot.coverage
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_final';
COMMENT ON FUNCTION eiot.coverage_final(eiot.coverage) IS
  'Aggregate support: the state as a result; 22003 where the pooled capacity is beyond bigint';

CREATE FUNCTION eiot.coverage_moving_accum(internal, counted boolean, capacity bigint) RETURNS internal
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_moving_accum';
COMMENT ON FUNCTION eiot.coverage_moving_accum(internal, boolean, bigint) IS 'Aggregate support: a device enters the window frame';

CREATE FUNCTION eiot.coverage_moving_discard(internal, counted boolean, capacity bigint) RETURNS internal
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_moving_discard';
COMMENT ON FUNCTION eiot.coverage_moving_discard(internal, boolean, bigint) IS 'Aggregate support: a device leaves the window frame';

CREATE FUNCTION eiot.coverage_moving_pool(internal, eiot.coverage) RETURNS internal
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_moving_pool';
COMMENT ON FUNCTION eiot.coverage_moving_pool(internal, eiot.coverage) IS 'Aggregate support: a group enters the window frame';

CREATE FUNCTION eiot.coverage_moving_unpool(internal, eiot.coverage) RETURNS internal
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_moving_unpool';
COMMENT ON FUNCTION eiot.coverage_moving_unpool(internal, eiot.coverage) IS 'Aggregate support: a group leaves the window frame';

CREATE FUNCTION eiot.coverage_moving_gap(internal) RETURNS bigint
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_moving_gap';
COMMENT ON FUNCTION eiot.coverage_moving_gap(internal) IS 'Aggregate support: the gap of a window frame';

CREATE FUNCTION eiot.coverage_moving_final(internal) RETURNS eiot.coverage
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_moving_final';
COMMENT ON FUNCTION eiot.coverage_moving_final(internal) IS 'Aggregate support: the coverage of a window frame of devices';

CREATE FUNCTION eiot.coverage_moving_pooled(internal) RETURNS eiot.coverage
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_coverage_moving_pooled';
COMMENT ON FUNCTION eiot.coverage_moving_pooled(internal) IS 'Aggregate support: the coverage of a window frame of groups';

CREATE AGGREGATE eiot.coverage_gap(counted boolean, capacity bigint) (
  SFUNC = eiot.coverage_accum, STYPE = eiot.coverage, INITCOND = '0/none',
  COMBINEFUNC = eiot.coverage_combine, FINALFUNC = eiot.gap,
  MSFUNC = eiot.coverage_moving_accum, MINVFUNC = eiot.coverage_moving_discard,
  MSTYPE = internal, MSSPACE = 32, MFINALFUNC = eiot.coverage_moving_gap,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE eiot.coverage_gap(boolean, bigint) IS
  'Standalone licenses missing in a group of devices, one row each: those with counted true less the group''s capacity. Null counted is false, null capacity is 0, no rows give 0; 22023 where rows disagree on the capacity';

CREATE AGGREGATE eiot.coverage_agg(counted boolean, capacity bigint) (
  SFUNC = eiot.coverage_accum, STYPE = eiot.coverage, INITCOND = '0/none',
  COMBINEFUNC = eiot.coverage_combine,
  MSFUNC = eiot.coverage_moving_accum, MINVFUNC = eiot.coverage_moving_discard,
  MSTYPE = internal, MSSPACE = 32, MFINALFUNC = eiot.coverage_moving_final,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE eiot.coverage_agg(boolean, bigint) IS
  'As coverage_gap(boolean, bigint), but the coverage value, to be stored and merged later; no rows give 0/none';

CREATE AGGREGATE eiot.coverage_gap(coverage eiot.coverage) (
  SFUNC = eiot.coverage_pool, STYPE = eiot.coverage, INITCOND = '0/0',
  COMBINEFUNC = eiot.coverage_pool, FINALFUNC = eiot.gap,
  MSFUNC = eiot.coverage_moving_pool, MINVFUNC = eiot.coverage_moving_unpool,
  MSTYPE = internal, MSSPACE = 32, MFINALFUNC = eiot.coverage_moving_gap,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE eiot.coverage_gap(eiot.coverage) IS
  'Standalone licenses missing when groups are pooled: all devices less all capacity. Nulls are left out, no rows give 0; 22003 where a sum is beyond bigint';

CREATE AGGREGATE eiot.coverage_agg(coverage eiot.coverage) (
  SFUNC = eiot.coverage_pool, STYPE = eiot.coverage, INITCOND = '0/0',
  COMBINEFUNC = eiot.coverage_pool, FINALFUNC = eiot.coverage_final,
  MSFUNC = eiot.coverage_moving_pool, MINVFUNC = eiot.coverage_moving_unpool,
  MSTYPE = internal, MSSPACE = 32, MFINALFUNC = eiot.coverage_moving_pooled,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE eiot.coverage_agg(eiot.coverage) IS
  'Pools groups into one coverage value: devices and capacities add up. Nulls are left out, no rows give 0/0; 22003 where a sum is beyond bigint';

CREATE AGGREGATE eiot.coverage_merge(coverage eiot.coverage) (
  SFUNC = eiot.coverage_combine, STYPE = eiot.coverage, INITCOND = '0/none',
  COMBINEFUNC = eiot.coverage_combine, FINALFUNC = eiot.coverage_final,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE eiot.coverage_merge(eiot.coverage) IS
  'Puts stored parts of one group together again: devices add up, the capacity is the group''s. Nulls are left out, no rows give 0/none; 22023 where parts disagree on the capacity';

CREATE FUNCTION eiot.round_devices(n bigint, step integer DEFAULT 100, mode text DEFAULT 'down') RETURNS bigint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_round_devices';
COMMENT ON FUNCTION eiot.round_devices(bigint, integer, text) IS
  'A number of devices as a multiple of step for presentation; mode up, down, nearest (a half goes up) or none. Null of null; 22003 for a negative number or beyond bigint, 22023 for another mode or a step below 1';

-- Which devices count.

CREATE FUNCTION eiot.count_reason(class eiot.device_class, onboarding_status text, last_seen timestamptz,
                                  as_of timestamptz, inactive_after interval, merged_into text,
                                  excluded boolean, transient boolean, ip inet)
  RETURNS eiot.count_reason
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'eiot_count_reason';
COMMENT ON FUNCTION eiot.count_reason(eiot.device_class, text, timestamptz, timestamptz, interval, text, boolean, boolean, inet) IS
  'Why a device counts or does not: the first reason in the order of the enum. Inactive: last seen strictly longer than inactive_after before as_of, a day being 24 hours and a month 30 days; null inactive_after or last_seen is never inactive. Not a device: a public, multicast or broadcast address. Null as_of, where it is needed: null';

CREATE FUNCTION eiot.active_since(as_of timestamptz, inactive_after interval) RETURNS timestamptz
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_active_since';
COMMENT ON FUNCTION eiot.active_since(timestamptz, interval) IS
  'The instant before which a device must not have been last seen to be active at as_of; days are 24 hours, months 30 days. Null, which never expires, of null and before the first timestamp; 22023 for a negative interval';

CREATE FUNCTION eiot.count_key(class eiot.device_class, onboarding_status text, merged_into text,
                               excluded boolean, transient boolean, ip inet)
  RETURNS smallint
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'eiot_count_key';
COMMENT ON FUNCTION eiot.count_key(eiot.device_class, text, text, boolean, boolean, inet) IS
  'All that neither time nor rule changes about whether a device counts, packed into 0 to 63 for the inventory''s index; see eiot.counts';

CREATE FUNCTION eiot.counted_keys(counted_classes eiot.device_class[], count_excluded boolean, count_transient boolean)
  RETURNS bigint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 5 AS 'MODULE_PATHNAME', 'eiot_counted_keys';
COMMENT ON FUNCTION eiot.counted_keys(eiot.device_class[], boolean, boolean) IS
  'The count keys that a rule counts: bit k is set for key k. Null of null';

CREATE FUNCTION eiot.counts(count_key smallint, last_seen timestamptz, counted_keys bigint, active_since timestamptz)
  RETURNS boolean
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_counts';
COMMENT ON FUNCTION eiot.counts(smallint, timestamptz, bigint, timestamptz) IS
  'Does a device with this count key count under a rule with these counted_keys? The verdict of eiot.count_reason without reading the row. Null last_seen or active_since is never inactive; null key: null; 22003 for a key that is none';

CREATE FUNCTION eiot.count_devices_accum(bigint, count_key smallint, last_seen timestamptz, counted_keys bigint, active_since timestamptz)
  RETURNS bigint
  LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_count_devices_accum';
COMMENT ON FUNCTION eiot.count_devices_accum(bigint, smallint, timestamptz, bigint, timestamptz) IS
  'Aggregate support: one more device';

CREATE FUNCTION eiot.count_devices_combine(bigint, bigint) RETURNS bigint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_count_devices_combine';
COMMENT ON FUNCTION eiot.count_devices_combine(bigint, bigint) IS 'Aggregate support: parts of one group';

CREATE FUNCTION eiot.count_devices_final(bigint) RETURNS bigint[]
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_count_devices_final';
COMMENT ON FUNCTION eiot.count_devices_final(bigint) IS 'Aggregate support: both numbers';

CREATE AGGREGATE eiot.count_devices(count_key smallint, last_seen timestamptz, counted_keys bigint, active_since timestamptz) (
  SFUNC = eiot.count_devices_accum, STYPE = bigint, INITCOND = '0',
  COMBINEFUNC = eiot.count_devices_combine, FINALFUNC = eiot.count_devices_final,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE eiot.count_devices(smallint, timestamptz, bigint, timestamptz) IS
  'How many devices there are, and for how many of them eiot.counts holds: {devices, counted}. As count(*) and count(*) with a filter, in one go; no rows give {0,0}; 22003 for a key that is none, and above 2147483647 devices in one group';

CREATE TABLE eiot.counting_rule (
  name text PRIMARY KEY CHECK (name <> ''),
  valid daterange NOT NULL DEFAULT 'empty',
  counted_classes eiot.device_class[] NOT NULL,
  inactive_after interval CHECK (inactive_after >= interval '0'),
  count_excluded boolean NOT NULL DEFAULT false,
  count_transient boolean NOT NULL DEFAULT false,
  rounding text NOT NULL DEFAULT 'none' CHECK (rounding IN ('none', 'up', 'down', 'nearest')),
  rounding_step integer NOT NULL DEFAULT 1 CHECK (rounding_step > 0),
  trial_devices bigint CHECK (trial_devices >= 0),
  trial_days integer CHECK (trial_days > 0),
  source text,
  shipped boolean NOT NULL DEFAULT false,
  overrides boolean NOT NULL DEFAULT false,
  counted_keys bigint NOT NULL GENERATED ALWAYS AS (eiot.counted_keys(counted_classes, count_excluded, count_transient)) STORED,
  -- Checked at the end: a restore brings all of the user's rules in one statement.
  EXCLUDE USING gist (valid WITH &&) DEFERRABLE INITIALLY DEFERRED
);
COMMENT ON TABLE eiot.counting_rule IS
  'What counts against the licenses, one row per published revision; the one valid on a day is in force, an empty range is a draft that only a pinned tenant follows';
COMMENT ON COLUMN eiot.counting_rule.name IS 'What a tenant is pinned to';
COMMENT ON COLUMN eiot.counting_rule.valid IS 'Days (UTC) on which the rule is in force; no two rules overlap';
COMMENT ON COLUMN eiot.counting_rule.counted_classes IS 'Device classes that count';
COMMENT ON COLUMN eiot.counting_rule.inactive_after IS 'A device last seen strictly longer ago does not count; null: it always does';
COMMENT ON COLUMN eiot.counting_rule.count_excluded IS 'Do devices count that somebody excluded in the portal?';
COMMENT ON COLUMN eiot.counting_rule.count_transient IS 'Do devices count that were seen for a short time only?';
COMMENT ON COLUMN eiot.counting_rule.rounding IS 'How the revision prints the total: none, up, down, nearest; never a step before the gap';
COMMENT ON COLUMN eiot.counting_rule.rounding_step IS 'Multiple of devices that the printed total is rounded to';
COMMENT ON COLUMN eiot.counting_rule.trial_devices IS 'Devices that a trial covers; eiot.unlimited() for any number; null where not stated';
COMMENT ON COLUMN eiot.counting_rule.trial_days IS 'Days that a trial lasts; null where not stated';
COMMENT ON COLUMN eiot.counting_rule.source IS 'Page and revision that the rule was read from';
COMMENT ON COLUMN eiot.counting_rule.shipped IS 'Comes with the extension, unchanged; such rows are not dumped';
COMMENT ON COLUMN eiot.counting_rule.overrides IS 'The user''s version of a row that comes with the extension';
COMMENT ON COLUMN eiot.counting_rule.counted_keys IS 'counted_classes, count_excluded and count_transient for eiot.counts';

CREATE TRIGGER keep_user_row BEFORE INSERT OR UPDATE OR DELETE ON eiot.counting_rule
  FOR EACH ROW EXECUTE FUNCTION eiot.keep_user_row('name', 'counted_keys');
COMMENT ON TRIGGER keep_user_row ON eiot.counting_rule IS 'A changed shipped rule becomes the user''s and is dumped';

SELECT pg_catalog.pg_extension_config_dump('eiot.counting_rule', 'WHERE NOT shipped');

INSERT INTO eiot.counting_rule
  (name, valid, counted_classes, inactive_after, rounding, rounding_step, trial_devices, trial_days, source, shipped)
VALUES
  ('2022-07', '[2022-07-06,2023-05-17)', '{network,iot}', '30 days', 'up', 100, 1000, 30,
   'how-to-manage-subscriptions.md of 2022-07-06 (revision A): network and IoT devices, rounded up; includes/devices-inventoried.md of 2022-07-06: inactive after 30 days', true),
  ('2022 draft, managed subtracted', 'empty', '{network,iot}', '30 days', 'up', 100, 1000, 30,
   'manage-subscriptions-enterprise drafts of mid to late 2022 (revision B): as 2022-07, less the devices that Defender for Endpoint manages; never in force by date', true),
  ('2022 draft', 'empty', '{network,iot}', '30 days', 'up', 100, 1000, 30,
   'manage-subscriptions-enterprise draft of late 2022 (revision B''): listed groups removed, rounded up; trial of 30 days for the first 1,000 devices; never in force by date', true),
  ('2023-05', '[2023-05-17,2023-09-13)', '{network,iot}', '30 days', 'up', 100, eiot.unlimited(), 30,
   'manage-subscriptions-enterprise.md of 2023-05-17 (revision C): Computers & Mobile excluded by note, rounded up; billing.md of 2023-05-17: trial not limited in devices; cut-off as last published', true),
  ('2023-09', '[2023-09-13,2023-11-01)', '{network,iot}', '30 days', 'none', 1, 100, 90,
   'manage-subscriptions-enterprise.md of 2023-09-13 (revision D): 1,679 devices less 320 x 5 leaves 79, not rounded; concept-enterprise.md of 2023-09-13: trial of 100 devices and 90 days', true),
  ('2023-11', '[2023-11-01,2024-06-25)', '{iot}', '30 days', 'down', 100, 100, 90,
   'manage-subscriptions-enterprise.md, revision E (still dated 2023-09-13): IoT devices alone, printed total rounded down, gap 4 of the unrounded 1,204', true),
  ('2024-06', '[2024-06-25,2026-07-02)', '{iot}', '30 days', 'down', 100, 100, NULL,
   'enterprise-iot-get-started.md of 2024-06-25 to 2024-08-25 (revision E''): five devices per E5 license, one per EIoT license; length of the trial no longer stated', true),
  ('2026-07', '[2026-07-02,)', '{iot}', '30 days', 'down', 100, 100, NULL,
   'manage-subscriptions-enterprise of 2026-07-03 (revision F): compare the rounded total; cut-off as last published, also the portal''s default range', true);

CREATE FUNCTION eiot.counting_rule_at(as_of timestamptz) RETURNS eiot.counting_rule
  LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 20
BEGIN ATOMIC
  SELECT r.* FROM eiot.counting_rule r WHERE r.valid @> (as_of AT TIME ZONE 'UTC')::date;
END;
COMMENT ON FUNCTION eiot.counting_rule_at(timestamptz) IS
  'The counting rule in force on the day (UTC) of as_of; null before the first one and of null';

-- A name of its own: as an overload it would make calls with untyped literals ambiguous.
CREATE FUNCTION eiot.count_reason_under(class eiot.device_class, onboarding_status text, last_seen timestamptz,
                                        as_of timestamptz, rule eiot.counting_rule, merged_into text,
                                        excluded boolean, transient boolean, ip inet)
  RETURNS eiot.count_reason
  LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 5
  RETURN eiot.count_reason(
    CASE WHEN COALESCE(class, 'unknown') = ANY ((rule).counted_classes) THEN 'iot'::eiot.device_class END,
    onboarding_status, last_seen, as_of, (rule).inactive_after, merged_into,
    excluded AND NOT (rule).count_excluded, transient AND NOT (rule).count_transient, ip);
COMMENT ON FUNCTION eiot.count_reason_under(eiot.device_class, text, timestamptz, timestamptz, eiot.counting_rule, text, boolean, boolean, inet) IS
  'Why a device counts or does not under a rule of eiot.counting_rule; not_iot says that its class is none that the rule counts';
