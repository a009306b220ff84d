-- Time and price to money: the policy, prorating, cycles, shares that add up.

CREATE TYPE eiot.proration_policy;

CREATE FUNCTION eiot.proration_policy_in(cstring) RETURNS eiot.proration_policy
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_proration_policy_in';
COMMENT ON FUNCTION eiot.proration_policy_in(cstring) IS
  'Text input of eiot.proration_policy: a preset, keys with values, or both; 22P02 for unknown presets, keys and words, 22023 for numbers out of range, unknown time zones and keys that contradict each other';

CREATE FUNCTION eiot.proration_policy_out(eiot.proration_policy) RETURNS cstring
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_proration_policy_out';
COMMENT ON FUNCTION eiot.proration_policy_out(eiot.proration_policy) IS
  'Text output of eiot.proration_policy: the full form, five keys always and the others where they differ from the preset "day"';

CREATE FUNCTION eiot.proration_policy_recv(internal) RETURNS eiot.proration_policy
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_proration_policy_recv';
COMMENT ON FUNCTION eiot.proration_policy_recv(internal) IS
  'Binary input of eiot.proration_policy: a version and the text form; 22P03 for another version, otherwise the errors of text input';

CREATE FUNCTION eiot.proration_policy_send(eiot.proration_policy) RETURNS bytea
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_proration_policy_send';
COMMENT ON FUNCTION eiot.proration_policy_send(eiot.proration_policy) IS 'Binary output of eiot.proration_policy: a version and the full form';

CREATE TYPE eiot.proration_policy (
  INPUT = eiot.proration_policy_in,
  OUTPUT = eiot.proration_policy_out,
  RECEIVE = eiot.proration_policy_recv,
  SEND = eiot.proration_policy_send,
  INTERNALLENGTH = 64,
  ALIGNMENT = int4,
  STORAGE = plain
);
COMMENT ON TYPE eiot.proration_policy IS
  'How time becomes money: what is counted, what it is divided by, where and how amounts are rounded, as in "nce", "killbill,scale=9" or "unit=day,denominator=cycle,round=half_up,scale=2,at=line"';

CREATE FUNCTION eiot.proration_policy_eq(eiot.proration_policy, eiot.proration_policy) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_proration_policy_eq';
COMMENT ON FUNCTION eiot.proration_policy_eq(eiot.proration_policy, eiot.proration_policy) IS 'Implementation of operator = for eiot.proration_policy';

CREATE FUNCTION eiot.proration_policy_ne(eiot.proration_policy, eiot.proration_policy) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_proration_policy_ne';
COMMENT ON FUNCTION eiot.proration_policy_ne(eiot.proration_policy, eiot.proration_policy) IS 'Implementation of operator <> for eiot.proration_policy';

CREATE FUNCTION eiot.proration_policy_hash(eiot.proration_policy) RETURNS integer
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_proration_policy_hash';
COMMENT ON FUNCTION eiot.proration_policy_hash(eiot.proration_policy) IS 'Hash support of eiot.proration_policy';

CREATE FUNCTION eiot.proration_policy_hash_extended(eiot.proration_policy, bigint) RETURNS bigint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_proration_policy_hash_extended';
COMMENT ON FUNCTION eiot.proration_policy_hash_extended(eiot.proration_policy, bigint) IS 'Seeded hash support of eiot.proration_policy';

CREATE OPERATOR eiot.= (
  LEFTARG = eiot.proration_policy, RIGHTARG = eiot.proration_policy, FUNCTION = eiot.proration_policy_eq,
  COMMUTATOR = OPERATOR(eiot.=), NEGATOR = OPERATOR(eiot.<>),
  RESTRICT = eqsel, JOIN = eqjoinsel, HASHES
);
COMMENT ON OPERATOR eiot.= (eiot.proration_policy, eiot.proration_policy) IS 'Same policy, however it was written';

CREATE OPERATOR eiot.<> (
  LEFTARG = eiot.proration_policy, RIGHTARG = eiot.proration_policy, FUNCTION = eiot.proration_policy_ne,
  COMMUTATOR = OPERATOR(eiot.<>), NEGATOR = OPERATOR(eiot.=),
  RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR eiot.<> (eiot.proration_policy, eiot.proration_policy) IS 'Another policy';

CREATE OPERATOR FAMILY eiot.proration_policy_ops USING hash;
COMMENT ON OPERATOR FAMILY eiot.proration_policy_ops USING hash IS 'Hashing of eiot.proration_policy';

CREATE OPERATOR CLASS eiot.proration_policy_ops DEFAULT FOR TYPE eiot.proration_policy USING hash FAMILY eiot.proration_policy_ops AS
  OPERATOR 1 eiot.=,
  FUNCTION 1 eiot.proration_policy_hash(eiot.proration_policy),
  FUNCTION 2 eiot.proration_policy_hash_extended(eiot.proration_policy, bigint);
COMMENT ON OPERATOR CLASS eiot.proration_policy_ops USING hash IS 'Hashing of eiot.proration_policy';

CREATE FUNCTION eiot.scale(policy eiot.proration_policy) RETURNS integer
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 AS 'MODULE_PATHNAME', 'eiot_policy_scale';
COMMENT ON FUNCTION eiot.scale(eiot.proration_policy) IS 'Decimals that a policy rounds amounts to; null of null';

CREATE FUNCTION eiot.prorate(price numeric, units bigint, used daterange, cycle daterange, policy eiot.proration_policy DEFAULT 'day')
  RETURNS numeric
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'eiot_prorate_dates';
COMMENT ON FUNCTION eiot.prorate(numeric, bigint, daterange, daterange, eiot.proration_policy) IS
  'What the price of a unit and cycle comes to for so many units and the days used of the cycle, in the currency of the price; negative units are a credit; null of null; 22023 for a negative or infinite price and a cycle that is empty or endless';

CREATE FUNCTION eiot.prorate(price numeric, units bigint, used tstzrange, cycle tstzrange, policy eiot.proration_policy DEFAULT 'day')
  RETURNS numeric
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'eiot_prorate_timestamps';
COMMENT ON FUNCTION eiot.prorate(numeric, bigint, tstzrange, tstzrange, eiot.proration_policy) IS
  'The same by instants: days are those of the time zone that the policy names with tz, UTC unless it does, and unit=second is the time that passes; null of null; 22023 for a negative or infinite price and a cycle that is empty or endless';

CREATE FUNCTION eiot.round_total(total numeric, policy eiot.proration_policy) RETURNS numeric
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'eiot_round_total';
COMMENT ON FUNCTION eiot.round_total(numeric, eiot.proration_policy) IS
  'The sum of amounts prorated with at=total, rounded as the policy says; null of null; 22023 for NaN and infinity';

CREATE FUNCTION eiot.billing_cycles(anchor date, frequency text, within daterange, month_end text DEFAULT 'clamp') RETURNS SETOF daterange
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1 ROWS 12 AS 'MODULE_PATHNAME', 'eiot_billing_cycles';
COMMENT ON FUNCTION eiot.billing_cycles(date, text, daterange, text) IS
  'The cycles of a month, quarter or year, before the anchor and after it, that have days in a range, in order and uncut; month_end "clamp" or "distance"; none for null; 22023 for other words and a range without both bounds, 22008 beyond the dates there are';

CREATE FUNCTION eiot.allocate(weight numeric, total numeric, scale integer) RETURNS numeric
  LANGUAGE c WINDOW IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'eiot_allocate';
COMMENT ON FUNCTION eiot.allocate(numeric, numeric, integer) IS
  'Window function: the part of the partition''s total that goes to a row by its weight, with so many decimals; the parts add up to the rounded total; null for a null weight, total or scale; 22023 for negative weights and for a total or scale that the rows disagree on';

CREATE FUNCTION eiot.allocate(weight numeric, scale integer) RETURNS numeric
  LANGUAGE c WINDOW IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'eiot_allocate';
COMMENT ON FUNCTION eiot.allocate(numeric, integer) IS
  'Window function: the weights themselves, rounded to so many decimals each so that they add up to their sum, rounded as round_total does with half_up; null for a null weight or scale; 22023 for negative weights and for a scale that the rows disagree on';

CREATE FUNCTION eiot.allocate(weights numeric[], total numeric, scale integer) RETURNS numeric[]
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'eiot_allocate_array';
COMMENT ON FUNCTION eiot.allocate(numeric[], numeric, integer) IS
  'The parts of a total that go to the elements of an array by their weights, with so many decimals, in an array of the same shape, as the window function has them for rows; null elements get null; null of null; 22023 for negative weights';

CREATE FUNCTION eiot.allocate(weights numeric[], scale integer) RETURNS numeric[]
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'eiot_allocate_array';
COMMENT ON FUNCTION eiot.allocate(numeric[], integer) IS
  'The elements of an array, rounded to so many decimals each so that they add up to their sum, rounded as round_total does with half_up; null elements stay null; null of null; 22023 for negative elements';
